"""What a run shows while it goes, and the table at its end."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from limae_jax.metrics.schema import Row
from limae_jax.metrics.terminal import make_console


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
class _Progress:
    """What the progress line says."""

    phase: str
    env_steps: int
    total_env_steps: int
    steps_per_s: float
    eta_s: float | None
    score: str
    loss: float | None

    def line(self, width: int | None = None) -> Text:
        """The line, in the longest form that fits into `width` columns."""
        steps = f"{self.env_steps:,}/{self.total_env_steps:,}"
        short_steps = f"{_compact(self.env_steps)}/{_compact(self.total_env_steps)}"
        speed, short_speed = f"{self.steps_per_s:,.0f}/s", f"{_compact(self.steps_per_s)}/s"
        eta = "" if self.eta_s is None else f"eta {format_seconds(self.eta_s)}"
        loss = "" if self.loss is None else f"loss {self.loss:.3g}"
        candidates = [
            [self.phase, f"{steps} steps", speed, eta, self.score, loss],
            [self.phase, steps, speed, eta, self.score, loss],
            [self.phase, short_steps, short_speed, eta, self.score, loss],
            [self.phase, short_steps, short_speed, eta, self.score],
        ]
        lines = ["  ".join(part for part in parts if part) for parts in candidates]
        plain = next((line for line in lines if width is None or len(line) <= width), lines[-1])
        text = Text(plain, no_wrap=True, overflow="ellipsis")
        text.stylize("bold", 0, len(self.phase))
        if self.score and (start := plain.find(self.score)) >= 0:
            text.stylize("green", start, start + len(self.score))
        return text


class RunConsole(Protocol):
    """Where a run shows itself; `ConsoleReport` says what is shown when."""

    def start(self, lines: Sequence[str]) -> None: ...

    def update(
        self,
        phase: str,
        env_steps: int,
        steps_per_s: float,
        eta_s: float | None,
        win_rates: Sequence[float] | None,
        loss: float | None,
    ) -> None: ...

    def evaluation(self, rows: Sequence[Row]) -> None: ...

    def note(self, text: str) -> None: ...

    def warning(self, text: str) -> None: ...

    def summary(self, rows: Sequence[Row], failed_seeds: Sequence[int], run_dir: str, wall_s: float) -> None: ...

    def close(self) -> None: ...


class ConsoleReport:
    """One live line on a terminal; elsewhere one line an evaluation. Then a table."""

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
        self._progress: _Progress | None = None
        self._returns: list[float] = []

    def start(self, lines: Sequence[str]) -> None:
        """Shows what is about to run; the first line is the title."""
        for index, line in enumerate(lines):
            self._print(Text(line, style="bold" if index == 0 else ""))
        if self._enabled and not self._is_plain:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
            self._show(Text("compiling ...", style="dim"))

    def update(
        self,
        phase: str,
        env_steps: int,
        steps_per_s: float,
        eta_s: float | None,
        win_rates: Sequence[float] | None,
        loss: float | None,
    ) -> None:
        """After each chunk.

        Args:
            phase: what runs.
            env_steps: of a seed.
            steps_per_s: environment steps a second, all seeds together.
            eta_s: seconds left; None if unknown.
            win_rates: of the last evaluation, one a seed; None shows the returns that `evaluation` was told.
            loss: mean over the seeds; None before there is one.
        """
        score = _spread("win", win_rates) if win_rates else _spread("return", self._returns)
        self._progress = _Progress(phase, env_steps, self._total, steps_per_s, eta_s, score, loss)
        if self._live:
            self._show(self._progress.line(self._console.width))

    def evaluation(self, rows: Sequence[Row]) -> None:
        """After each evaluation: one row a seed. Where there is no live line, this is when progress is shown."""
        wins = [row["test_win_rate"] for row in rows if row["test_win_rate"] is not None]
        self._returns = [] if wins else [row["test_return_mean"] for row in rows]
        if self._progress is None:
            return
        score = _spread("win", wins) or _spread("return", self._returns)
        self._progress = replace(self._progress, score=score)
        if self._live:
            self._show(self._progress.line(self._console.width))
        else:
            self._print(self._progress.line())

    def note(self, text: str) -> None:
        """Shows a line that stays."""
        self._print(Text(text))

    def warning(self, text: str) -> None:
        """Shows a warning that stays."""
        self._print(Text.assemble(("warning: ", "bold yellow"), text))

    def summary(self, rows: Sequence[Row], failed_seeds: Sequence[int], run_dir: str, wall_s: float) -> None:
        """Shows the final table.

        Args:
            rows: the last row of each seed.
            failed_seeds: seeds that were frozen; the median leaves them out.
            run_dir: where everything is.
            wall_s: seconds that the run took.
        """
        self.close()
        if rows:
            self._print(Text())
            self._print(_table(sorted(rows, key=lambda row: row["seed"]), set(failed_seeds)))
            self._print(Text(f"greedy, {rows[0]['test_episodes']} episodes per seed, last checkpoint", style="dim"))
        for seed in failed_seeds:
            self.warning(f"seed {seed} failed: its loss was not finite, and it was frozen there")
        self._print(Text(f"{format_seconds(wall_s)}  metrics and checkpoints in {run_dir}"))

    def close(self) -> None:
        """Takes the live line away and gives the terminal back. May be called again."""
        if self._live:
            self._live.stop()
            self._live = None

    def _show(self, line: Text) -> None:
        if self._live:
            self._live.update(line, refresh=True)

    def _print(self, what: Text | Table) -> None:
        if self._enabled:
            # A log file's lines are not to be broken at a width that nobody looks at.
            self._console.print(what, soft_wrap=self._is_plain and isinstance(what, Text))


def format_seconds(seconds: float) -> str:
    """`0:21`, `12:05`, `3:07:45`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


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


def _table(rows: Sequence[Row], failed: set[int]) -> Table:
    columns = [column for column in _COLUMNS if any(row.get(column[1]) is not None for row in rows)]
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("seed", no_wrap=True)
    for title, _, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        seed = Text(f"{row['seed']} failed", style="red") if row["seed"] in failed else Text(str(row["seed"]))
        values = [row.get(name) for _, name, _ in columns]
        cells = ["-" if value is None else form(value) for value, (_, _, form) in zip(values, columns, strict=True)]
        table.add_row(seed, *cells)
    whole = [row for row in rows if row["seed"] not in failed]
    if len(rows) > 1 and whole:
        label = "median" if len(whole) == len(rows) else f"median of {len(whole)}"
        table.add_row(label, *[_median(whole, name, form) for _, name, form in columns], style="bold")
    return table


def _median(rows: Sequence[Row], name: str, form: Callable[[float], str]) -> str:
    values = [row[name] for row in rows if row.get(name) is not None]
    return form(statistics.median(values)) if values else "-"
