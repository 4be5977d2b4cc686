"""What a sweep shows: a live table of its runs, done, running and to come, with the time left."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from limae_jax.metrics.console import format_seconds
from limae_jax.metrics.schema import Row
from limae_jax.metrics.terminal import make_console

# States of a run, in the order in which the counts are shown, with their colours.
STATES = {"done": "green", "running": "cyan", "to come": "dim", "stopped": "yellow", "failed": "red", "broken": "red"}

# What a table shows that is too long for the screen, and how many lines of the screen are not the table's.
_ALWAYS_SHOWN = ("running", "stopped", "failed", "broken")
_LINES_BESIDE = 6


@dataclass
class Line:
    """One run of the sweep.

    Attributes:
        name: of its cell and seeds.
        num_seeds, total_env_steps: what is to be done, for each seed.
        state: one of STATES.
        env_steps: of its slowest seed.
        missing: environment steps of all seeds still to be made.
        steps_per_s: of training, all seeds together; 0 before it is known.
        scores: win rate of each seed's newest evaluation, or its return where nothing is won.
        note: what went wrong.
    """

    name: str
    num_seeds: int
    total_env_steps: int
    state: str = "to come"
    env_steps: int = 0
    missing: float = -1.0
    steps_per_s: float = 0.0
    scores: dict[int, float] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self):
        self.missing = float(self.num_seeds * self.total_env_steps)

    def add_scores(self, rows: Sequence[Row]) -> None:
        """Takes over what evaluations found; the last one of a seed counts."""
        for row in rows:
            self.scores[row["seed"]] = row["test_return_mean" if row["test_win_rate"] is None else "test_win_rate"]


class SweepTable:
    """The table: live on a terminal; elsewhere a line whenever a run changes its state."""

    def __init__(self, lines: Sequence[Line], enabled: bool = True, console: Console | None = None):
        """Shows nothing before it is entered as a context.

        Args:
            lines: the runs.
            enabled: False shows nothing at all.
            console: to show it on, the standard output by default.
        """
        self.lines = list(lines)
        self._enabled = enabled
        self._console = console or make_console()
        self._live: Live | None = None
        self._clock: Callable[[], float] = time.monotonic
        # Of all runs that train now, or trained last: what the next ones are expected to do.
        self._steps_per_s = 0.0
        # When a run was first counted, and what was missing then.
        self._first: dict[int, tuple[float, float]] = {}

    def __enter__(self) -> SweepTable:
        if self._enabled and self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self.refresh()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live:
            self._live.stop()
            self._live = None
        if self._enabled:
            self._console.print(self._table(self.lines))
            self.note(self.counts())

    def mark(self, index: int, state: str, note: str = "") -> None:
        """Puts a run into another state."""
        line = self.lines[index]
        if state in ("done", "failed", "broken"):
            line.missing = 0.0
        line.state, line.note = state, note
        if self._enabled and self._live is None:
            self.note(f"{line.name}: {state}{_score_text(line, '  ')}{note and f'  {note}'}")
        self.refresh()

    def note(self, text: str) -> None:
        """Shows a line that stays."""
        if self._enabled:
            self._console.print(Text(text), soft_wrap=True)

    def counted(self, index: int, env_steps: int, missing: float, steps_per_s: float | None = None) -> None:
        """Notes how far a run is, and how fast; None goes by the clock, from when the run was first counted."""
        line, now = self.lines[index], self._clock()
        line.env_steps, line.missing = env_steps, missing
        since, before = self._first.setdefault(index, (now, missing))
        if steps_per_s is None:
            steps_per_s = (before - missing) / (now - since) if now > since else 0.0
        line.steps_per_s = steps_per_s
        # A run of several groups of seeds waits with its last speed; one that has all of its steps waits for others.
        at_work = [line.steps_per_s for line in self.lines if line.state == "running" and line.missing]
        self._steps_per_s = sum(at_work) or self._steps_per_s
        self.refresh()

    def seconds_left(self) -> float | None:
        """Time left at the speed of training now; None before there is one. Compiling is not foreseen."""
        return sum(line.missing for line in self.lines) / self._steps_per_s if self._steps_per_s else None

    def counts(self) -> str:
        """`3 done, 1 running, 4 to come; about 12:05 left`."""
        numbers = {state: sum(line.state == state for line in self.lines) for state in STATES}
        text = ", ".join(f"{number} {state}" for state, number in numbers.items() if number)
        left = self.seconds_left()
        return text if not left else f"{text}; about {format_seconds(left)} left"

    def refresh(self) -> None:
        """Draws the live table anew."""
        if self._live:
            room = self._console.height - _LINES_BESIDE
            lines = self.lines
            if len(lines) > room:
                lines = [line for line in lines if line.state in _ALWAYS_SHOWN][: max(room, 1)]
            self._live.update(Group(self._table(lines), Text(self.counts(), style="bold")), refresh=True)

    def _table(self, lines: Sequence[Line]) -> Table:
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("run", overflow="fold")
        table.add_column("state", no_wrap=True)
        table.add_column("env steps", justify="right", no_wrap=True)
        table.add_column("score", no_wrap=True)
        table.add_column("", overflow="fold")
        for line in lines:
            steps = f"{line.env_steps:,}/{line.total_env_steps:,}" if line.env_steps else f"{line.total_env_steps:,}"
            state = Text(line.state, style=STATES[line.state])
            table.add_row(Text(line.name), state, steps, Text(_score_text(line)), Text(line.note))
        return table


def _score_text(line: Line, before: str = "") -> str:
    scores = list(line.scores.values())
    if not scores:
        return ""
    text = f"{before}{statistics.fmean(scores):.2f}"
    return text if len(scores) == 1 else f"{text} [{min(scores):.2f} to {max(scores):.2f}]"


class CellConsole:
    """A run's place in the table, with the interface of `ConsoleReport`."""

    def __init__(self, table: SweepTable, index: int):
        self._table, self._index = table, index

    def start(self, lines: Sequence[str]) -> None:
        """Says that the run is under way."""
        self._table.mark(self._index, "running")

    def update(
        self,
        phase: str,
        env_steps: int,
        steps_per_s: float,
        eta_s: float | None,
        win_rates: Sequence[float] | None,
        loss: float | None,
    ) -> None:
        """After each chunk."""
        if eta_s is not None:
            self._table.counted(self._index, env_steps, eta_s * steps_per_s, steps_per_s)

    def evaluation(self, rows: Sequence[Row]) -> None:
        """After each evaluation: one row a seed."""
        self._table.lines[self._index].add_scores(rows)
        self._table.refresh()

    def read(self, rows: Sequence[Row]) -> None:
        """Shows a run that another process trains, by all of its rows so far."""
        line = self._table.lines[self._index]
        if line.state != "running":
            self._table.mark(self._index, "running")
        line.add_scores(rows)
        steps = {row["seed"]: min(row["env_steps"], line.total_env_steps) for row in rows}
        if steps:
            missing = line.num_seeds * line.total_env_steps - sum(steps.values())
            self._table.counted(self._index, min(steps.values()), missing)

    def note(self, text: str) -> None:
        """Details of a run are not shown."""

    def warning(self, text: str) -> None:
        """Shows a warning beside the run."""
        self._table.lines[self._index].note = text
        self._table.refresh()

    def summary(self, rows: Sequence[Row], failed_seeds: Sequence[int], run_dir: str, wall_s: float) -> None:
        """Takes over the scores of the last rows."""
        self.evaluation(rows)

    def close(self) -> None:
        """The table goes on."""
