"""The console output of a run: progress while it trains, and the final table."""

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


# Title, field of a row, format. A column without values is left out.
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
    """The progress of a run after a chunk.

    Attributes:
        phase: name of the phase.
        env_steps: of the slowest seed.
        steps_per_s: environment steps of all seeds per second of training.
        missing: environment steps that all seeds together still have to play.
        left: the time left; None if unknown.
        loss: mean over the seeds; None before the first loss.
    """

    phase: str
    env_steps: int
    steps_per_s: float
    missing: float
    left: TimeLeft | None
    loss: float | None


def _line(now: Standing, total: int, seconds_left: float | None, score: str, width: int | None = None) -> Text:
    """Returns the progress line in the longest form that fits into `width` columns."""
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
    """Returns the first line that fits, or the last line if none fits."""
    lines = ["  ".join(part for part in parts if part) for parts in candidates]
    plain = next((line for line in lines if width is None or len(line) <= width), lines[-1])
    return Text(plain, no_wrap=True, overflow="ellipsis")


class RunConsole(Protocol):
    """The interface of a run's console output; `ConsoleReport` is the implementation for a terminal."""

    def start(self, lines: Sequence[str]) -> None:
        """Shows what is about to run, before training; the first line is the title."""

    def update(self, now: Standing, win_rates: Sequence[float] | None) -> None:
        """Shows the progress; called after each chunk."""

    def compiling(self, what: Compiling) -> None:
        """Called before a program is compiled."""

    def compiled(self) -> None:
        """Called after a program was compiled."""

    def evaluation(self, rows: Sequence[Row]) -> None:
        """Called after each evaluation with one row per seed."""

    def note(self, text: str) -> None:
        """Shows a line that stays."""

    def warning(self, text: str) -> None:
        """Shows a warning that stays."""

    def summary(
        self, rows: Sequence[Row], failed_seeds: Sequence[int], run_dir: str, wall_s: float, compile_s: float
    ) -> None:
        """Shows the final results of each seed and the seconds that the run took."""

    def close(self) -> None:
        """Releases the terminal; may be called more than once."""


class ConsoleReport:
    """A live line on a terminal, elsewhere one line per evaluation and long compilation; then a table."""

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
            total_env_steps: environment steps of each seed at the end of the run.
            seeds: seeds of the run.
            enabled: False shows nothing.
            plain: whether to print lines instead of the live line; None decides by the output.
            console: where to print; the standard output by default.
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
        """Returns the current text of the live line."""
        activity, left = self._countdown.activity, self._countdown.seconds_left
        if activity:
            eta = "" if left is None else f"eta {format_seconds(left)}"
            return _longest([[activity, eta], [activity], [activity.partition(" (")[0]]], self._console.width)
        if self._standing is None:
            return Text("starting", style="dim")
        return _line(self._standing, self._total, left, self._score, self._console.width)

    def update(self, now: Standing, win_rates: Sequence[float] | None) -> None:
        """Shows the progress; called after each chunk.

        Args:
            now: progress of the run.
            win_rates: of the last evaluation, one per seed; None shows the returns last passed to `evaluation`.
        """
        self._standing = now
        self._score = _spread("win", win_rates) if win_rates else _spread("return", self._returns)
        self._countdown.told(now.left and now.left.seconds)

    def compiling(self, what: Compiling) -> None:
        """Shows a long compilation; called before a program is compiled."""
        self._countdown.compiling(what)
        if not self._live and what.is_long:
            self._print(Text(what.text()))

    def compiled(self) -> None:
        """Called after a program was compiled."""
        self._countdown.compiled()

    def evaluation(self, rows: Sequence[Row]) -> None:
        """Called after each evaluation with one row per seed; without a live line, prints the progress."""
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
            failed_seeds: seeds that failed and were frozen; the median leaves them out.
            run_dir: the run directory.
            wall_s: seconds that the run took.
            compile_s: seconds of them spent on compiling.
        """
        self.close()
        if rows:
            self._print(Text())
            in_order = sorted(rows, key=lambda row: row["seed"])
            self._print(_table(self._console, in_order, set(failed_seeds)))
            self._print(Text(f"greedy, {rows[0]['test_episodes']} episodes per seed, last checkpoint", style="dim"))
        for seed in failed_seeds:
            self.warning(f"seed {seed} failed: its loss was not finite; its training stopped there")
        compiling = f", including {format_seconds(compile_s)} compiling" if compile_s >= 1 else ""
        self._print(Text(f"took {format_seconds(wall_s)}{compiling}; metrics and checkpoints in {run_dir}"))

    def close(self) -> None:
        """Removes the live line and releases the terminal; may be called more than once."""
        if self._live:
            self._live.stop()
            self._live = None

    def _print(self, what: RenderableType) -> None:
        if self._enabled:
            # Lines of a log file are not wrapped: a file has no width.
            self._console.print(what, soft_wrap=self._is_plain and isinstance(what, Text))


def _compact(number: float) -> str:
    if number >= 1e6:
        return f"{number / 1e6:.2f}M"
    if number >= 1e3:
        return f"{number / 1e3:.1f}k" if number < 1e5 else f"{number / 1e3:.0f}k"
    return f"{number:.0f}"


def _spread(name: str, values: Sequence[float]) -> str:
    """Formats the mean and, for several values, the range: `win 0.53 [0.41-0.66]`."""
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
