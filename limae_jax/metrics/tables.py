"""Tables that never truncate a number or a name, even on a narrow terminal.

If the columns do not fit side by side, each row becomes a few lines: its name, and below it the other cells with their
titles. Only a word that is longer than a whole line is broken.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

_GAP = 2


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: title of the column; may have several lines.
        is_number: whether cells are right-aligned.
        is_whole: whether cells are never broken at spaces; numbers never are.
    """

    title: str
    is_number: bool = False
    is_whole: bool = False


class _Width(NamedTuple):
    """Minimum and preferred width of a column in characters."""

    least: int
    wanted: int


def table(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[Text | str]]) -> RenderableType:
    """Makes a table that is at most as wide as the console.

    Args:
        console: where the table will be shown.
        columns: the first column names the row.
        rows: one cell for each column; a `Text` keeps its style, a `str` is shown as it is.
    """
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = _fitting(console, columns, cells)
    return _side_by_side(columns, cells, widths) if widths else _stacked(console.width, columns, cells)


def fits(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[Text | str]]) -> bool:
    """Whether the columns fit side by side."""
    return _fitting(console, columns, [[_text(cell) for cell in row] for row in rows]) is not None


def hanging(text: str, width: int, indent: int) -> str:
    """Wraps `text` at spaces into lines of at most `width`; all but the first are indented."""
    inner = max(width - indent, 1)
    first, *rest = textwrap.wrap(text, width, break_on_hyphens=False, drop_whitespace=True) or [""]
    more = textwrap.wrap(" ".join(rest), inner, break_on_hyphens=False)
    return "\n".join([first, *(" " * indent + line for line in more)])


def _text(cell: Text | str) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def _fitting(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> list[int] | None:
    """Returns the widths of the columns; None if they do not fit."""
    needs = [_width_of(column, [row[index] for row in rows]) for index, column in enumerate(columns)]
    room = console.width - _GAP * (len(columns) - 1)
    least = [need.least for need in needs]
    if sum(least) > room:
        return None
    widths = [need.wanted for need in needs]
    while sum(widths) > room:
        # The widest column that can shrink.
        index = max(range(len(widths)), key=lambda index: (widths[index] > least[index], widths[index]))
        widths[index] -= 1
    return widths


def _width_of(column: Column, cells: Sequence[Text]) -> _Width:
    title = max((len(line) for line in column.title.splitlines()), default=0)
    lines = [line for cell in cells for line in cell.split("\n")]
    wanted = max((line.cell_len for line in lines), default=0)
    words = [cell_len(word) for line in lines for word in line.plain.split()]
    is_whole = column.is_whole or column.is_number
    return _Width(max(title, wanted if is_whole else max(words, default=0)), max(title, wanted))


def _side_by_side(columns: Sequence[Column], rows: Sequence[Sequence[Text]], widths: Sequence[int]) -> Table:
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _GAP, 0, 0))
    height = max(column.title.count("\n") for column in columns)
    for column, width in zip(columns, widths, strict=True):
        title = "\n" * (height - column.title.count("\n")) + column.title
        made.add_column(Text(title), justify="right" if column.is_number else "left", width=width, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def _stacked(width: int, columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> Group:
    titles = [column.title.replace("-\n", "").replace("\n", " ") for column in columns]
    lines: list[Text] = []
    for row in rows:
        name = row[0].plain
        # A number alone does not say what it counts.
        lines.append(Text(f"{titles[0]} {name}" if name[:1].isdigit() else name, style="bold", overflow="fold"))
        cells = [", ".join(cell.plain.splitlines()) for cell in row[1:]]
        pairs = [f"{title} {cell}".strip() for title, cell in zip(titles[1:], cells, strict=True) if cell]
        lines += [Text(" " * _GAP + line, overflow="fold") for line in _packed(pairs, width - _GAP)]
    return Group(*lines)


def _packed(pairs: Sequence[str], width: int) -> list[str]:
    """Packs the pairs, in order, into as few lines as possible; a pair that is too long gets lines of its own."""
    packed: list[str] = []
    room = 0
    for pair in pairs:
        if len(pair) <= room:
            packed[-1] += " " * _GAP + pair
        else:
            packed += hanging(pair, width, _GAP).splitlines()
        # A pair that took several lines shares none of them.
        room = 0 if len(pair) > width else width - len(packed[-1]) - _GAP
    return packed
