"""Pictures made of panels: saved in one file, or panel by panel for a page that arranges them in columns.

Colours are the colour-blind safe palette of Okabe and Ito, combined with markers and dashed lines.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", ":")
_MARKERS = "osD^vPX*<>"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    # The grid replaces the ticks.
    "xtick.bottom": False,
    "ytick.left": False,
    # Text stays text, which is smaller than outlines and searchable.
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans"],
    # The same picture always gives the same file.
    "svg.hashsalt": "limae-jax",
    # Names are text, not formulas.
    "text.parse_math": False,
}
PANEL = (3.5, 2.6)
COLUMNS = 3
# Lines in a panel: more cannot be distinguished.
MOST_LINES = 6
_NAME_WIDTH = 26
# A path that begins with lines: "L" is the default after the first point.
_LINES_TO = re.compile(r"M -?[\d.]+ -?[\d.]+(?:\nL -?[\d.]+ -?[\d.]+)+")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")


@dataclass(frozen=True)
class Panel:
    """One axis.

    Attributes:
        title: in a few words.
        draw: draws the panel on an axis.
        size: width and height in inches.
    """

    title: str
    draw: Callable[[Axes], None]
    size: tuple[float, float] = PANEL


@dataclass(frozen=True)
class Picture:
    """Panels with a common caption and legend.

    Attributes:
        name: of the file, without its extension.
        section: of the page.
        caption: one or two sentences.
        panels: at least one, all of one size.
        legend: method -> text beside its name.
    """

    name: str
    section: str
    caption: str
    panels: Sequence[Panel]
    legend: dict[str, str] = field(default_factory=dict)


class Look:
    """The colour, marker and line style of each method in all pictures."""

    def __init__(self, methods: Sequence[str]):
        self.methods = list(methods)

    def of(self, method: str) -> dict[str, Any]:
        """Returns colour and marker."""
        index = self.methods.index(method)
        return {"color": COLOURS[index % len(COLOURS)], "marker": _MARKERS[index % len(_MARKERS)]}

    def line(self, method: str) -> dict[str, Any]:
        """Returns colour, marker and line style."""
        broken = _LINES[self.methods.index(method) // len(COLOURS) % len(_LINES)]
        return {**self.of(method), "linestyle": broken, "markersize": 4, "linewidth": 1.5}


def agent_look(agent: int) -> dict[str, Any]:
    """Returns colour and marker of an agent's line."""
    return {"color": COLOURS[agent % len(COLOURS)], "marker": _MARKERS[agent % len(_MARKERS)], "markersize": 4}


def draw_line(axis: Axes, x: Sequence[float], rows: Sequence[dict[str, Any]], name: str, **look: Any) -> None:
    """Draws a line with its band, if any; up to six points, including the last, are marked."""
    value, low, high = ([row[key] for row in rows] for key in (name, f"{name}_low", f"{name}_high"))
    marked = sorted({round(place) for place in np.linspace(0, len(rows) - 1, min(len(rows), 6))})
    axis.plot(x, value, markevery=marked, **look)
    if None not in low:
        axis.fill_between(x, low, high, color=look["color"], alpha=0.12, linewidth=0)


def few_numbers(axis: Axes) -> None:
    """Limits the tick labels to five per axis, as many as a panel has room for."""
    axis.locator_params(nbins=4, steps=[1, 2, 2.5, 5, 10])


def wrapped(text: str, width: int = _NAME_WIDTH) -> str:
    """Wraps `text` to several lines."""
    return textwrap.fill(text, width)


def counted(name: str, seeds: int | str) -> str:
    """Returns a name with its number of seeds, which line breaks do not split."""
    return f"{name} (n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{seeds})"


def row_height(names: Sequence[str]) -> float:
    """Returns the height in inches of a row for the longest of the names."""
    return 0.12 + 0.13 * max(wrapped(counted(name, 10)).count("\n") + 1 for name in names)


def save_picture(picture: Picture, look: Look, folder: Path) -> None:
    """Writes all panels as one PNG and one SVG, with a legend below."""
    with rc_context(STYLE):
        columns = min(COLUMNS, len(picture.panels))
        rows = math.ceil(len(picture.panels) / columns)
        width, height = picture.panels[0].size
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        axes = np.ravel(figure.subplots(rows, columns, squeeze=False))
        for axis, panel in zip(axes, picture.panels, strict=False):
            panel.draw(axis)
            axis.set_title(wrapped(panel.title, 44))
        for axis in axes[len(picture.panels) :]:
            axis.set_axis_off()
        _legend_below(figure, picture, look)
        (folder / f"{picture.name}.svg").write_bytes(_svg(figure))
        # The layout is done; repeating it for the PNG would give the same.
        figure.set_layout_engine("none")
        figure.savefig(folder / f"{picture.name}.png", format="png", dpi=110)


def _legend_below(figure: Figure, picture: Picture, look: Look) -> None:
    """Adds one legend for all panels, in extra space below them."""
    if not picture.legend:
        return
    together = {method: said.replace(" ", "\N{NO-BREAK SPACE}") for method, said in picture.legend.items()}
    names = [wrapped(f"{method} {said}".strip(), 44) for method, said in together.items()]
    handles = [Line2D([], [], **look.line(method)) for method in picture.legend]
    width, height = figure.get_size_inches()
    columns = max(1, int(width // 3.4))
    tall = max(name.count("\n") + 1 for name in names)
    figure.set_size_inches(width, height + 0.2 + 0.17 * tall * math.ceil(len(names) / columns))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize="small")


def panel_uri(panel: Panel) -> str:
    """Returns a single panel as a `data:` URI for a page."""
    with rc_context(STYLE):
        figure = Figure(figsize=panel.size, layout="constrained")
        panel.draw(figure.subplots())
        return _uri(_svg(figure))


def key_uri(look: dict[str, Any]) -> str:
    """Returns a short piece of a line as a `data:` URI: the key of a legend entry."""
    with rc_context(STYLE):
        figure = Figure(figsize=(0.4, 0.16))
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set_axis_off()
        axis.plot([0, 0.5, 1], [0, 0, 0], markevery=[1], **look)
        # A rule in a <style> element must not contain what looks like its closing tag.
        return _uri(_svg(figure)).replace("<", "%3C")


def _svg(figure: Figure) -> bytes:
    """Returns the figure as compact SVG; coordinates keep one decimal, finer than a screen."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    # In tags only: text between tags is shown to readers. Font names need no quotes.
    short = re.sub(
        r"<[^<>]+>", lambda tag: _LONG_NUMBER.sub(_rounded, tag[0]).replace("'", ""), file.getvalue().decode()
    )
    # Nothing refers to the ids of groups.
    short = re.sub(r'<g id="[^"]*">', "<g>", short)
    return _LINES_TO.sub(lambda path: path[0].replace("L ", ""), re.sub(r"\s*\n\s*", "\n", short)).encode()


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _uri(svg: bytes) -> str:
    """Encodes SVG as a URI for an attribute or rule in double quotes; base64 would be a third longer."""
    _, tag, rest = svg.decode().partition("<svg")
    text = re.sub(r"<[^<>]+>", lambda one: one[0].replace('"', "'"), tag + rest).replace("\n", " ")
    return "data:image/svg+xml," + quote(text, safe=" <>=:/;,()-._~!*+?$@[]{}|^'")
