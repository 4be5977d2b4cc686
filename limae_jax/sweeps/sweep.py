"""Runs a sweep program by program, past failures; the same command continues it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from limae_jax.catalogue.systems import label
from limae_jax.config import TrainConfig
from limae_jax.metrics.jsonl import read_rows
from limae_jax.metrics.schema import Row
from limae_jax.sweeps.cluster import send_programs
from limae_jax.sweeps.grid import Sweep
from limae_jax.sweeps.plan import Program, is_finished, plan_programs
from limae_jax.sweeps.program import Outcome, done_or_failed, prepare, train_program
from limae_jax.sweeps.table import CellConsole, Line, SweepTable
from limae_jax.training.report import Film
from limae_jax.training.runner import check_film
from limae_jax.training.signals import StopRequest

EXIT_NOT_ALL, EXIT_ELSEWHERE = 1, 3


class SweepResult(NamedTuple):
    """The result of a sweep.

    Attributes:
        outcomes: by run directory, without runs that were not reached.
        exit_code: 0 if all runs are done, 1 if one failed or is broken, 3 if instead another process trains some runs,
            128 + signal if the sweep was stopped.
    """

    outcomes: dict[Path, Outcome]
    exit_code: int


class _Outcomes:
    """Records the outcomes of runs and shows them in the table."""

    def __init__(self, table: SweepTable, programs: Sequence[Program]):
        self.table = table
        self.outcomes: dict[Path, Outcome] = {}
        run_dirs = [config.run_dir for program in programs for config in program.configs]
        self._places = {run_dir: index for index, run_dir in enumerate(run_dirs)}

    def consoles(self, program: Program) -> list[CellConsole]:
        """Returns the consoles of the program's runs."""
        return [CellConsole(self.table, self._places[config.run_dir]) for config in program.configs]

    def record(self, program: Program, outcomes: Sequence[Outcome]) -> None:
        """Records the outcomes of the program's runs."""
        for config, outcome in zip(program.configs, outcomes, strict=True):
            self.outcomes[Path(config.run_dir)] = outcome
            self.table.mark(self._places[config.run_dir], *outcome)


def run_sweep(sweep: Sweep, console: bool = True, film: Film | None = None) -> SweepResult:
    """Trains the unfinished runs of a sweep.

    Args:
        sweep: see `grid.load_sweep`.
        console: whether to show the table.
        film: see `runner.train`.

    Raises:
        InputError: the sweep's directory holds something else, or the cluster settings are not valid.
    """
    for cell in sweep.cells:
        check_film(cell.config, film)
    programs = plan_programs(sweep)
    with SweepTable(_lines(sweep, programs), enabled=console) as table, StopRequest() as stop:
        found = _Outcomes(table, programs)
        left = [program for program in programs if not _record_if_finished(program, found)]
        if sweep.settings.cluster == "none":
            prepare(left)
            _train_here(left, stop, found, film)
        else:
            for program, outcomes in send_programs(left, sweep.settings, stop, found.consoles, film):
                found.record(program, outcomes)
        states = [outcome.state for outcome in found.outcomes.values()]
        is_stopped = stop.signal is not None and (len(states) < len(table.lines) or "stopped" in states)
        if is_stopped:
            here = sweep.settings.cluster == "none"
            what = "stopped and saved" if here else "stopped waiting, the jobs continue; when they have ended"
            table.last_words.append(f"{what}, the same command continues the sweep")
        elif "elsewhere" in states:
            table.last_words.append("another process trains some of the runs; give the command again after it ends")
        if any(line.scores for line in table.lines):
            directory = Path(str(sweep.settings.dir))
            command = ("limae-jax", "report", str(directory), "--out", str(directory / "report"))
            table.last_words.append(f"compare them: {shlex.join(command)}")
    not_all = EXIT_NOT_ALL if {"failed", "broken"} & set(states) else EXIT_ELSEWHERE if "elsewhere" in states else 0
    return SweepResult(found.outcomes, stop.exit_code if is_stopped else not_all)


def _train_here(programs: Sequence[Program], stop: StopRequest, found: _Outcomes, film: Film | None) -> None:
    """Trains the programs in order; programs that another process held are tried once more at the end."""
    again = []
    for program in programs:
        if stop.signal is None:
            found.record(program, train_program(program, stop, found.consoles(program), film))
            if any(found.outcomes[Path(config.run_dir)].state == "elsewhere" for config in program.configs):
                again.append(program)
    for program in again:
        if stop.signal is None and not _record_if_finished(program, found):
            found.record(program, train_program(program, stop, found.consoles(program), film))


def show_plan(sweep: Sweep, console: Console | None = None) -> None:
    """Prints the runs of a sweep, their states, and which share a compiled program; writes no files.

    Args:
        sweep: see `grid.load_sweep`.
        console: to print to; standard output by default.

    Raises:
        InputError: the sweep's directory holds something else.
    """
    programs = plan_programs(sweep)
    lines = _lines(sweep, programs)
    left = iter(lines)
    for number, program in enumerate(programs, start=1):
        outcomes = _outcomes_if_finished(program) or [Outcome("to come")] * len(program.configs)
        for outcome in outcomes:
            line = next(left)
            line.state, line.note = outcome.state, outcome.note or f"program {number}"
    with SweepTable(lines, console=console, is_plan=True) as table:
        counts = (f"{len(of)} {name}{'s' * (len(of) != 1)}" for of, name in ((lines, "run"), (programs, "program")))
        table.note(f"{' in '.join(counts)}; runs of one program are trained side by side")


def _outcomes_if_finished(program: Program) -> list[Outcome] | None:
    if not all(map(is_finished, program.configs)):
        return None
    last = [{row["seed"]: row for row in _rows(config)}.values() for config in program.configs]
    return [done_or_failed([row["seed"] for row in rows if row["is_failed"]]) for rows in last]


def _record_if_finished(program: Program, found: _Outcomes) -> bool:
    outcomes = _outcomes_if_finished(program)
    if outcomes:
        found.record(program, outcomes)
    return bool(outcomes)


def _rows(config: TrainConfig) -> list[Row]:
    return read_rows(Path(config.run_dir) / "metrics.jsonl")


def _lines(sweep: Sweep, programs: Sequence[Program]) -> list[Line]:
    """Returns the initial table lines of the runs."""
    directory, lines = Path(str(sweep.settings.dir)).resolve(), []
    for number, program in enumerate(programs):
        for config in program.configs:
            name = os.path.relpath(Path(config.run_dir).resolve(), directory)
            steps, what = config.run.total_env_steps, (config.env.scenario, label(config.system.name))
            line = Line(name, config.run.num_seeds, steps, number, *what)
            line.add_scores(_rows(config))
            lines.append(line)
    return lines
