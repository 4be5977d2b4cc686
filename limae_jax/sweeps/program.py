"""Trains one program of a sweep and returns the outcome of each run, errors included."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from limae_jax.checks import one_line
from limae_jax.metrics.console import RunConsole
from limae_jax.runs.lock import ElsewhereError, locked
from limae_jax.runs.stored import ERROR_FILE
from limae_jax.sweeps.plan import Program, check_plan
from limae_jax.training.report import Film
from limae_jax.training.runner import train_together
from limae_jax.training.setup import configure_jax, side_by_side
from limae_jax.training.signals import StopRequest


class Outcome(NamedTuple):
    """The outcome of a run.

    Attributes:
        state: `done`, `stopped`, `failed` if the loss of a seed was not finite, `broken` after an error, or `elsewhere`
            if another process trains it.
        note: what went wrong.
    """

    state: str
    note: str = ""


def done_or_failed(failed_seeds: Sequence[int]) -> Outcome:
    """Returns the outcome of a run that was trained to its end."""
    if not failed_seeds:
        return Outcome("done")
    return Outcome("failed", f"the loss of seed {', '.join(map(str, failed_seeds))} was not finite")


def prepare(programs: Sequence[Program]) -> None:
    """Sets the number of devices for all programs, which cannot grow once jax has started."""
    if programs:
        counts = [side_by_side(program.configs[0], program.home, program.seeds) for program in programs]
        configure_jax(programs[0].configs[0], max(counts))


def train_program(
    program: Program, stop: StopRequest, consoles: Sequence[RunConsole], film: Film | None = None
) -> list[Outcome]:
    """Trains or continues the runs of a program; call `prepare` before the first program.

    Args:
        program: to train.
        stop: checked after every chunk.
        consoles: one per run.
        film: see `runner.train`.

    Returns:
        The outcome of each run. No exception is raised, so that the other programs of a sweep continue: an error is
        written to error.txt in the program's home.
    """
    error_file = program.home / ERROR_FILE
    try:
        with contextlib.ExitStack() as stack:
            # Sorted, so that one of two processes that start the same program gets all locks.
            places = {program.home.resolve(), *(Path(config.run_dir).resolve() for config in program.configs)}
            told = [line for place in sorted(places) for line in stack.enter_context(locked(place))]
            if error_file.is_file():
                error_file.unlink()
            check_plan(program)
            results = train_together(program.configs, program.home, stop, consoles, told, film)
    except ElsewhereError as error:
        return [Outcome("elsewhere", one_line(error))] * len(program.configs)
    except Exception as error:
        # On a full disk the note in the outcome must suffice.
        with contextlib.suppress(OSError):
            program.home.mkdir(parents=True, exist_ok=True)
            error_file.write_text(traceback.format_exc(), encoding="utf-8")
        return [Outcome("broken", one_line(f"{type(error).__name__}: {error}"))] * len(program.configs)
    return [done_or_failed(result.failed_seeds) if result.is_complete else Outcome("stopped") for result in results]
