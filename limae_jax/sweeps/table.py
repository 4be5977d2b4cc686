"""The live table of a sweep: its runs, their states, and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from limae_jax.metrics.console import Standing
from limae_jax.metrics.schema import Row
from limae_jax.metrics.tables import Column, table
from limae_jax.metrics.terminal import live, make_console
from limae_jax.metrics.waiting import Compiling, format_seconds
from limae_jax.sweeps.ranking import best_cells, by_score, score_text
from limae_jax.sweeps.time_left import SweepClock

# States of a run with their colours, in the order of the counts.
STATES = {"done": "green", "running": "cyan", "to come": "dim", "stopped": "yellow", "elsewhere": "yellow"}
STATES |= {"failed": "red", "broken": "red"}

# States of unfinished runs.
_UNSETTLED = ("to come", "running")

# States that are shown even if the table is too long for the screen, and the screen lines outside the table.
_ALWAYS_SHOWN = ("running", "stopped", "elsewhere", "failed", "broken")
_LINES_BESIDE = 6


@dataclass
class Line:
    """One run of the sweep.

    Attributes:
        name: cell and seeds, `<cell>/seeds_<first>_to_<last>`.
        num_seeds, total_env_steps: number of seeds, and environment steps of each.
        program: index of its program.
        scenario, system: names; only scores of one scenario are comparable.
        state: one of STATES.
        env_steps: of its slowest seed.
        missing: remaining environment steps of all seeds.
        steps_per_s: training speed of all seeds together; 0 before it is known.
        scores: win rate of each seed's latest evaluation, or its return in games without a win.
        note: what went wrong.
    """

    name: str
    num_seeds: int
    total_env_steps: int
    program: int = 0
    scenario: str = ""
    system: str = ""
    state: str = "to come"
    env_steps: int = 0
    missing: float = -1.0
    steps_per_s: float = 0.0
    scores: dict[int, float] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        self.missing = float(self.num_seeds * self.total_env_steps)

    @property
    def cell(self) -> str:
        """The name of its cell, without the seeds."""
        return self.name.rpartition("/seeds_")[0] or self.name

    def add_scores(self, rows: Sequence[Row]) -> None:
        """Sets the scores from evaluation rows; the last row of a seed counts."""
        for row in rows:
            self.scores[row["seed"]] = row["test_return_mean" if row["test_win_rate"] is None else "test_win_rate"]


class SweepTable:
    """The table: live on a terminal; elsewhere a line per change of state. At the end, the best runs come first.

    Attributes:
        lines: the runs.
        time: estimates the time left.
        last_words: shown below the table at the end.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        enabled: bool = True,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        is_plan: bool = False,
    ):
        """Creates the table, which is shown once it is entered as a context.

        Args:
            lines: the runs.
            enabled: whether to show anything.
            console: to print to; standard output by default.
            clock: in seconds.
            is_plan: whether nothing is trained; the runs then stay in order.
        """
        self.lines = list(lines)
        self.last_words: list[str] = []
        self._is_plan = is_plan
        self._enabled = enabled
        self._console = console or make_console()
        self._live: Live | None = None
        self._clock = clock
        self.time = SweepClock(clock)
        # Speed of all runs that other processes train now, or trained last; the estimate for the next ones.
        self._steps_per_s = 0.0
        # Run index -> time of its first count, and the steps missing then.
        self._first: dict[int, tuple[float, float]] = {}

    def __enter__(self) -> SweepTable:
        if self._enabled and self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = live(self._console, self._picture)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live:
            self._live.stop()
            self._live = None
        scenarios = {"": self.lines} if self._is_plan else by_score(self.lines)
        for scenario, lines in scenarios.items():
            if len(scenarios) > 1:
                self.print(Text(scenario, style="bold"))
            self.print(self._table(lines))
        sound = [line for line in self.lines if line.state not in ("failed", "broken")]
        for text in (*([] if self._is_plan else best_cells(sound)), self.counts(), *self.last_words):
            self.note(text)

    def mark(self, index: int, state: str, note: str = "") -> None:
        """Sets the state of a run."""
        line = self.lines[index]
        if state in ("done", "elsewhere", "failed", "broken"):
            line.missing = 0.0
        line.state, line.note = state, note
        if self._enabled and self._live is None:
            self.note(f"{line.name}: {state}{_before(score_text([*line.scores.values()]))}{_before(note)}")
        mates = [mate for mate in self.lines if mate.program == line.program]
        if state == "running":
            self.time.begin(line.program, (line.system, line.scenario), sum(mate.missing for mate in mates))
        elif not any(mate.state in _UNSETTLED for mate in mates):
            self.time.end(line.program)

    def note(self, text: str) -> None:
        """Prints a line outside the live table."""
        if self._enabled:
            self._console.print(Text(text), soft_wrap=True)

    def print(self, what: RenderableType) -> None:
        """Prints a renderable outside the live table."""
        if self._enabled:
            self._console.print(what)

    def compiling(self, index: int, what: Compiling) -> None:
        """Reports that compilation of a run's program starts."""
        line = self.lines[index]
        self.time.compiling(line.program, what)
        if self._live is None and what.is_long:
            self.note(f"{line.name}: {what.text()}")

    def counted(self, index: int, env_steps: int, missing: float) -> None:
        """Records the progress of a run of another process; its speed is measured from the first count."""
        line, now = self.lines[index], self._clock()
        line.env_steps, line.missing = env_steps, missing
        since, before = self._first.setdefault(index, (now, missing))
        line.steps_per_s = (before - missing) / (now - since) if now > since else 0.0
        # Between groups of seeds a run keeps its last speed; a run with all its steps only waits for others.
        at_work = [line.steps_per_s for line in self.lines if line.state == "running" and line.missing]
        self._steps_per_s = sum(at_work) or self._steps_per_s

    def seconds_left(self) -> float | None:
        """Returns the seconds left; None while unknown."""
        if self._steps_per_s:
            return sum(line.missing for line in self.lines) / self._steps_per_s
        unsettled = [line for line in self.lines if line.state in _UNSETTLED]
        seconds = 0.0
        for program in {line.program for line in unsettled}:
            own = [line for line in unsettled if line.program == program]
            kind = (own[0].system, own[0].scenario)
            left = self.time.left(program, kind, sum(line.missing for line in own))
            if left is None:
                return None
            seconds += left
        return seconds

    def counts(self) -> str:
        """Returns the counts of states, as in `3 done, 1 running, 4 to come; about 12:05 left`."""
        numbers = {state: sum(line.state == state for line in self.lines) for state in STATES}
        text = ", ".join(f"{number} {state}" for state, number in numbers.items() if number)
        left = self.seconds_left()
        return f"{text}; about {format_seconds(left)} left" if left else text

    def _picture(self) -> RenderableType:
        """Returns the live table, cut to the height of the screen."""
        below = Text(self.counts(), style="bold"), Text(self.time.activity, style="dim")
        room, lines = self._console.height - _LINES_BESIDE, self.lines
        if len(self._console.render_lines(self._table(lines))) > room:
            lines = [line for line in lines if line.state in _ALWAYS_SHOWN]
        while len(lines) > 1 and len(self._console.render_lines(self._table(lines))) > room:
            lines = lines[:-1]
        return Group(self._table(lines), *below)

    def _table(self, lines: Sequence[Line]) -> RenderableType:
        columns = [
            Column("run"),
            Column("state", is_whole=True),
            Column("env steps", is_number=True),
            Column("score", is_whole=True),
            Column(""),
        ]
        rows: list[list[Text | str]] = []
        for line in lines:
            steps = f"{line.env_steps:,}/{line.total_env_steps:,}" if line.env_steps else f"{line.total_env_steps:,}"
            state = Text(line.state, style=STATES[line.state])
            rows.append([Text(line.name), state, steps, score_text([*line.scores.values()]), line.note])
        return table(self._console, columns, rows)


def _before(text: str) -> str:
    return text and f"  {text}"


class CellConsole:
    """Shows one run in the table, with the interface of `ConsoleReport`."""

    def __init__(self, table: SweepTable, index: int):
        self._table, self._index = table, index

    def start(self, lines: Sequence[str]) -> None:
        """Marks the run as running."""
        self._table.mark(self._index, "running")

    def update(self, now: Standing, win_rates: Sequence[float] | None) -> None:
        """Shows the progress after a chunk."""
        line = self._table.lines[self._index]
        line.env_steps, line.missing = now.env_steps, now.missing
        self._table.time.told(line.program, now.left)

    def compiling(self, what: Compiling) -> None:
        """Reports that compilation starts."""
        self._table.compiling(self._index, what)

    def compiled(self) -> None:
        """Reports that compilation has ended."""
        self._table.time.compiled(self._table.lines[self._index].program)

    def evaluation(self, rows: Sequence[Row]) -> None:
        """Shows the scores of an evaluation, one row per seed."""
        self._table.lines[self._index].add_scores(rows)

    def read(self, rows: Sequence[Row]) -> None:
        """Shows a run that another process trains, from all its rows so far."""
        line = self._table.lines[self._index]
        if line.state != "running":
            self._table.mark(self._index, "running")
        line.add_scores(rows)
        steps = {row["seed"]: min(row["env_steps"], line.total_env_steps) for row in rows}
        if steps:
            missing = line.num_seeds * line.total_env_steps - sum(steps.values())
            self._table.counted(self._index, min(steps.values()), missing)

    def note(self, text: str) -> None:
        """Does nothing: the table shows no details of runs."""

    def warning(self, text: str) -> None:
        """Shows a warning in the run's line."""
        self._table.lines[self._index].note = text

    def summary(
        self, rows: Sequence[Row], failed_seeds: Sequence[int], run_dir: str, wall_s: float, compile_s: float
    ) -> None:
        """Shows the scores of the last rows."""
        self.evaluation(rows)

    def close(self) -> None:
        """Does nothing: the table stays open for other runs."""
