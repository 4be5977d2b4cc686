"""What a run shows while it goes, and the table at its end."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from limae_jax.metrics.schema import Row
from limae_jax.metrics.tables import Column, table
from limae_jax.metrics.terminal import live, make_console
from limae_jax.metrics.waiting import Compiling, Countdown, TimeLeft, format_seconds


def _two_decimals(value: float) -> str:
    return f"{value:.2f}"


def _one_decimal(value: float) -> str:
    return f"{value:.1f}"


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


# Column, field of a row, format. A column without any value is left out.
_COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("win rate", "test_win_rate", _two_decimals),
    ("return", "test_return_mean", _two_decimals),
    ("length", "test_length_mean", _one_decimal),
    ("ally deaths", "test_ally_deaths_mean", _two_decimals),
    ("enemy deaths", "test_enemy_deaths_mean", _two_decimals),
    ("env steps", "env_steps", _thousands),
)


@dataclass(frozen=True)
class Standing:
    """Where a run stands after a chunk.

    Attributes:
        phase: what runs.
        env_steps: of the slowest seed.
        steps_per_s: environment steps a second of training, all seeds together.
        missing: environment steps of all seeds still to be made.
        left: None if the time left is not known.
        loss: mean over the seeds; None before there is one.
    """

    phase: str
    env_steps: int
    steps_per_s: float
    missing: float
    left: TimeLeft | None
    loss: float | None


def _line(now: Standing, total: int, seconds_left: float | None, score: str, width: int | None = None) -> Text:
    """The progress line, in the longest form that fits into `width` columns."""
    steps = f"{now.env_steps:,}/{total:,}"
    short_steps = f"{_compact(now.env_steps)}/{_compact(total)}"
    speed, short_speed = f"{now.steps_per_s:,.0f}/s", f"{_compact(now.steps_per_s)}/s"
    eta = "" if seconds_left is None else f"eta {format_seconds(seconds_left)}"
    loss = "" if now.loss is None else f"loss {now.loss:.3g}"
    candidates = [
        [now.phase, f"{steps} steps", speed, eta, score, loss],
        [now.phase, steps, speed, eta, score, loss],
        [now.phase, short_steps, short_speed, eta, score, loss],
        [now.phase, short_steps, short_speed, eta, score],
        [now.phase, short_steps, eta, score],
        [now.phase, short_steps, eta],
    ]
    text = _longest(candidates, width)
    text.stylize("bold", 0, len(now.phase))
    if score and (start := text.plain.find(score)) >= 0:
        text.stylize("green", start, start + len(score))
    return text


def _longest(candidates: Sequence[Sequence[str]], width: int | None) -> Text:
    """The first line that fits; the last one if none does."""
    lines = ["  ".join(part for part in parts if part) for parts in candidates]
    plain = next((line for line in lines if width is None or len(line) <= width), lines[-1])
    return Text(plain, no_wrap=True, overflow="ellipsis")


class RunConsole(Protocol):
    """Where a run shows itself; `ConsoleReport` says what is shown when."""

    def start(self, lines: Sequence[str]) -> None:
        """Before training: what is about to run, the first line is the title."""

    def update(self, now: Standing, win_rates: Sequence[float] | None) -> None:
        """After each chunk: where the run stands."""

    def compiling(self, what: Compiling) -> None:
        """Before a program is compiled."""

    def compiled(self) -> None:
        """After that."""

    def evaluation(self, rows: Sequence[Row]) -> None:
        """After each evaluation: one row a seed."""

    def note(self, text: str) -> None:
        """Shows a line that stays."""

    def warning(self, text: str) -> None:
        """Shows a warning that stays."""

    def summary(
        self, rows: Sequence[Row], failed_seeds: Sequence[int], run_dir: str, wall_s: float, compile_s: float
    ) -> None:
        """At the end: what each seed came to, and the seconds that it took."""

    def close(self) -> None:
        """Gives the terminal back; closing twice is fine."""


class ConsoleReport:
    """One live line on a terminal; elsewhere a line an evaluation and a long compilation. Then a table."""

    def __init__(
        self,
        total_env_steps: int,
        seeds: Sequence[int],
        enabled: bool = True,
        plain: bool | None = None,
        console: Console | None = None,
    ):
        """Makes a report; nothing is shown yet.

        Args:
            total_env_steps: where the progress ends.
            seeds: of the run.
            enabled: False shows nothing at all.
            plain: lines in place of the live line; None decides by where the output goes.
            console: to show it on, the standard output by default.
        """
        self._total, self._seeds, self._enabled = total_env_steps, tuple(seeds), enabled
        self._console = console or make_console()
        is_live_terminal = self._console.is_terminal and not self._console.is_dumb_terminal
        self._is_plain = not is_live_terminal if plain is None else plain
        self._live: Live | None = None
        self._standing: Standing | None = None
        self._score = ""
        self._returns: list[float] = []
        self._countdown = Countdown()

    def start(self, lines: Sequence[str]) -> None:
        """Shows what is about to run; the first line is the title."""
        for index, line in enumerate(lines):
            self._print(Text(line, style="bold" if index == 0 else ""))
        if self._enabled and not self._is_plain:
            self._live = live(self._console, self._live_line)

    def _live_line(self) -> Text:
        """What the live line says at this moment."""
        activity, left = self._countdown.activity, self._countdown.seconds_left
        if activity:
            eta = "" if left is None else f"eta {format_seconds(left)}"
            return _longest([[activity, eta], [activity], [activity.partition(" (")[0]]], self._console.width)
        if self._standing is None:
            return Text("starting", style="dim")
        return _line(self._standing, self._total, left, self._score, self._console.width)

    def update(self, now: Standing, win_rates: Sequence[float] | None) -> None:
        """After each chunk.

        Args:
            now: where the run stands.
            win_rates: of the last evaluation, one a seed; None shows the returns that `evaluation` was told.
        """
        self._standing = now
        self._score = _spread("win", win_rates) if win_rates else _spread("return", self._returns)
        self._countdown.told(now.left and now.left.seconds)

    def compiling(self, what: Compiling) -> None:
        """Before a program is compiled."""
        self._countdown.compiling(what)
        if not self._live and what.is_long:
            self._print(Text(what.text()))

    def compiled(self) -> None:
        """After that."""
        self._countdown.compiled()

    def evaluation(self, rows: Sequence[Row]) -> None:
        """After each evaluation: one row a seed. Where there is no live line, this is when progress is shown."""
        wins = [row["test_win_rate"] for row in rows if row["test_win_rate"] is not None]
        self._returns = [] if wins else [row["test_return_mean"] for row in rows]
        if self._standing is None:
            return
        self._score = _spread("win", wins) or _spread("return", self._returns)
        if not self._live:
            self._print(_line(self._standing, self._total, self._countdown.seconds_left, self._score))

    def note(self, text: str) -> None:
        """Shows a line that stays."""
        self._print(Text(text))

    def warning(self, text: str) -> None:
        """Shows a warning that stays."""
        self._print(Text.assemble(("warning: ", "bold yellow"), text))

    def summary(
        self, rows: Sequence[Row], failed_seeds: Sequence[int], run_dir: str, wall_s: float, compile_s: float
    ) -> None:
        """Shows the final table.

        Args:
            rows: the last row of each seed.
            failed_seeds: seeds that were frozen; the median leaves them out.
            run_dir: where everything is.
            wall_s: seconds that this took.
            compile_s: those of them that went into compiling.
        """
        self.close()
        if rows:
            self._print(Text())
            in_order = sorted(rows, key=lambda row: row["seed"])
            self._print(_table(self._console, in_order, set(failed_seeds)))
            self._print(Text(f"greedy, {rows[0]['test_episodes']} episodes per seed, last checkpoint", style="dim"))
        for seed in failed_seeds:
            self.warning(f"seed {seed} failed: its loss was not finite, and it was frozen there")
        compiling = f", compiling {format_seconds(compile_s)} of it" if compile_s >= 1 else ""
        self._print(Text(f"took {format_seconds(wall_s)}{compiling}; metrics and checkpoints in {run_dir}"))

    def close(self) -> None:
        """Takes the live line away and gives the terminal back. May be called again."""
        if self._live:
            self._live.stop()
            self._live = None

    def _print(self, what: RenderableType) -> None:
        if self._enabled:
            # A log file's lines are not to be broken at a width that nobody looks at.
            self._console.print(what, soft_wrap=self._is_plain and isinstance(what, Text))


def _compact(number: float) -> str:
    if number >= 1e6:
        return f"{number / 1e6:.2f}M"
    if number >= 1e3:
        return f"{number / 1e3:.1f}k" if number < 1e5 else f"{number / 1e3:.0f}k"
    return f"{number:.0f}"


def _spread(name: str, values: Sequence[float]) -> str:
    """`win 0.53 [0.41-0.66]`: the mean, and the range of several."""
    if not values:
        return ""
    text = f"{name} {statistics.fmean(values):.2f}"
    dash = " to " if min(values) < 0 else "-"
    return text if len(values) == 1 else f"{text} [{min(values):.2f}{dash}{max(values):.2f}]"


def _table(console: Console, rows: Sequence[Row], failed: set[int]) -> RenderableType:
    fields = [column for column in _COLUMNS if any(row.get(column[1]) is not None for row in rows)]
    columns = [Column("seed", is_whole=True), *(Column(title, is_number=True) for title, _, _ in fields)]
    lines: list[list[Text | str]] = []
    for row in rows:
        seed = Text(f"{row['seed']} failed", style="red") if row["seed"] in failed else Text(str(row["seed"]))
        values = [(row.get(name), form) for _, name, form in fields]
        lines.append([seed, *("-" if value is None else form(value) for value, form in values)])
    whole = [row for row in rows if row["seed"] not in failed]
    if len(rows) > 1 and whole:
        label = "median" if len(whole) == len(rows) else f"median of {len(whole)}"
        medians = [label, *(_median(whole, name, form) for _, name, form in fields)]
        lines.append([Text(cell, style="bold") for cell in medians])
    return table(console, columns, lines)


def _median(rows: Sequence[Row], name: str, form: Callable[[float], str]) -> str:
    values = [row[name] for row in rows if row.get(name) is not None]
    return form(statistics.median(values)) if values else "-"
