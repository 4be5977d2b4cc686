"""Tables of a study: as text (Markdown and `html` share the cells), and as CSV in full precision."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from limae_jax.analysis.statistics import LAST, WINDOW
from limae_jax.analysis.summary import CENSORED, CURVES, GOALS, PRIMARY, Outcomes, TableRow
from limae_jax.checks import printable

NOT_REACHED = "not reached"


class Table(NamedTuple):
    """A table of text cells.

    Attributes:
        title: of the table.
        about: what the numbers are, in one or two sentences.
        header: of the columns.
        rows: of text.
    """

    title: str
    about: str
    header: tuple[str, ...]
    rows: list[list[str]]


def csv_text(rows: Sequence[TableRow]) -> str:
    """Formats rows as CSV, with the columns of all rows; None and infinity are empty, and no text is a formula."""
    header = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _csv_cell(value) for name, value in row.items()})
    return text.getvalue()


def _csv_cell(value: Any) -> Any:
    """Prefixes text that spreadsheets would read as a formula with a '."""
    if not isinstance(value, str):
        return "" if value in (None, math.inf) else value
    text = printable(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def csv_files(outcomes: Outcomes) -> dict[str, str]:
    """Returns file name -> content; tables without rows have no file."""
    cells = outcomes.study.cells
    tables = {
        "seeds": outcomes.seeds,
        "methods": outcomes.methods_on_maps,
        "comparisons": outcomes.comparisons,
        "aggregate": outcomes.aggregate,
        "aggregate_curves": outcomes.aggregate_curves,
        "profiles": outcomes.profiles,
        "curves": [
            row for cell in cells for metric in CURVES if cell.has(metric) for row in outcomes.curve(cell, metric)
        ],
        "hidden": [row for cell in cells for row in outcomes.hidden(cell)],
    }
    return {f"{name}.csv": csv_text(rows) for name, rows in tables.items() if rows}


def text_tables(outcomes: Outcomes) -> list[Table]:
    """Returns the tables of the page, the most important first; tables without rows are left out."""
    makers = (_aggregate, _methods, _returns, _steps, _seconds, _comparisons, _seeds)
    tables = [make(outcomes) for make in makers]
    return [table for table in tables if table.rows]


# Characters that Markdown would interpret: `_` only at a word's edge, `]` only before a target.
_MARKDOWN = re.compile(r"[\\`*<>|&$~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|\](?=[(\[:])|(?<=:)//|^[#+=-]+(?=\s)")


def markdown_text(text: str) -> str:
    """Escapes `text` so that Markdown shows it literally, on one line."""
    return _MARKDOWN.sub(r"\\\g<0>", printable(text))


def markdown(table: Table) -> str:
    """Formats a table in Markdown, with its title."""
    rows = [[markdown_text(cell) for cell in row] for row in table.rows]
    body = "\n".join(f"| {' | '.join(line)} |" for line in [table.header, ["---"] * len(table.header), *rows])
    return f"## {markdown_text(table.title)}\n\n{markdown_text(table.about)}\n\n{body}\n"


def _number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def _interval(row: TableRow, name: str, form: str = ".2f") -> str:
    """Formats `0.80 [0.75, 0.84]`, without brackets if there is no interval or the seeds have no spread."""
    if row[name] is None:
        return "-"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return _number(row[name], form) + ("" if low == high else f" [{low:{form}}, {high:{form}}]")


def _times_sooner(row: TableRow, goal: str) -> str:
    """Formats the ratio with its interval, marked if a bound; no number if seeds of both methods missed the goal."""
    kind = row[f"speed_up_to_{goal}_is"]
    return kind if kind == CENSORED else f"{kind} {_interval(row, f'speed_up_to_{goal}')}".strip()


def _count(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else NOT_REACHED


_FINAL = f"Final: the mean of the last {LAST} evaluations, or of the last quarter if that is fewer."


def _methods(outcomes: Outcomes) -> Table:
    names = ("final_win_rate", "mean_win_rate", "best_window_win_rate", "late_drop")
    return Table(
        "Win rates",
        f"Mean over the seeds with 95 % t interval. {_FINAL} Mean: area under the curve divided by the budget. Best"
        f" window: the best {WINDOW} evaluations in a row. Late drop: the largest fall between windows of {WINDOW}"
        " evaluations in the second half of training.",
        ("map", "method", "seeds", "final", "mean", "best window", "late drop"),
        [
            [row["map"], row["method"], str(row["seeds"]), *(_interval(row, name) for name in names)]
            for row in outcomes.methods_on_maps
        ],
    )


def _returns(outcomes: Outcomes) -> Table:
    return Table(
        "Returns",
        f"Games without wins: mean over the seeds with 95 % t interval. {_FINAL}",
        ("map", "method", "seeds", "final"),
        [[row["map"], row["method"], str(row["seeds"]), _interval(row, "return")] for row in outcomes.returns],
    )


def _steps(outcomes: Outcomes) -> Table:
    about = (
        f"Median over the seeds of the env steps at the end of the first {WINDOW} evaluations with at least that mean"
        " win rate, and how many seeds reached it. Seeds that never did count as later than all others. Where the win"
        " rate levels off near the goal, chance decides when it is reached."
    )
    return _to_goals(outcomes, "steps", "Env steps to a win rate", about)


def _seconds(outcomes: Outcomes) -> Table:
    about = (
        "The same in seconds since the seed's training began, with compilation and evaluations. Seeds that trained side"
        " by side slowed each other down."
    )
    return _to_goals(outcomes, "seconds", "Seconds to a win rate", about)


def _to_goals(outcomes: Outcomes, passed: str, title: str, about: str) -> Table:
    goals = [f"{goal:.0%}" for goal in GOALS]

    def cell(row: TableRow, goal: str) -> str:
        return f"{_count(row[f'median_{passed}_to_{goal}'])} ({row[f'reached_{goal}']} of {row['seeds']})"

    rows = [[row["map"], row["method"], *(cell(row, goal) for goal in goals)] for row in outcomes.methods_on_maps]
    return Table(title, about, ("map", "method", *goals), rows)


def _comparisons(outcomes: Outcomes) -> Table:
    goals = [f"{goal:.0%}" for goal in GOALS]
    baseline = outcomes.study.methods[0]
    names = [f"{name}_difference" for name in PRIMARY]
    return Table(
        f"Compared with {baseline}",
        "Differences of the final and the mean win rate, with Welch's 95 % t interval over the seeds; p: of a"
        " permutation test of the mean win rate. P(better): share of pairs of seeds in which the method's final win"
        " rate is the higher one; a tie counts half. Times sooner: geometric mean env steps of the baseline to the"
        " goal, divided by the method's; seeds that never reached it count with the whole budget, which makes the"
        " ratio a bound (at least, at most); it is left out (censored) if seeds of both never did. All pairs are in"
        " comparisons.csv.",
        ("map", "method", "final", "mean", "p", "P(better)", *(f"times sooner at {goal}" for goal in goals)),
        [
            [row["map"], row["method"], *(_interval(row, name, "+.2f") for name in names)]
            + [_number(row["mean_win_rate_p"]), _number(row["probability_of_improvement"])]
            + [_times_sooner(row, goal) for goal in goals]
            for row in outcomes.comparisons
            if row["baseline"] == baseline
        ],
    )


def _aggregate(outcomes: Outcomes) -> Table:
    maps = ", ".join(outcomes.shared_maps)
    return Table(
        "Over all shared maps",
        f"Maps: {maps}. Interquartile mean over maps and seeds with 95 % stratified bootstrap interval; P(better) is"
        f" against {outcomes.study.methods[0]}, the mean over the maps.",
        ("method", "runs", "final win rate", "mean win rate", "P(better)"),
        [
            [row["method"], str(row["seeds"])]
            + [_interval(row, name) for name in (*PRIMARY, "probability_of_improvement")]
            for row in outcomes.aggregate
        ],
    )


def _seeds(outcomes: Outcomes) -> Table:
    steps = [f"steps_to_{goal:.0%}" for goal in GOALS]
    return Table(
        "Seeds",
        f"Final scores, best window, late drop, and env steps to each win rate. {_FINAL}",
        (
            *("map", "method", "seed", "win rate", "return", "length", "own lost", "killed", "R² of guesses"),
            *("best window", "late drop", *(f"env steps to {goal:.0%}" for goal in GOALS)),
        ),
        [
            [row["map"], row["method"], str(row["seed"]), _number(row.get("final_win_rate"), ".3f")]
            + [_number(row.get(name)) for name in ("final_return", "final_length")]
            + [_number(row.get(name)) for name in ("final_ally_deaths", "final_enemy_deaths", "final_r2")]
            + [_number(row.get(name)) for name in ("best_window_win_rate", "late_drop")]
            + [_count(row[name]) if name in row else "-" for name in steps]
            for row in outcomes.seeds
        ],
    )
