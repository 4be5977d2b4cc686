"""One program of a sweep: its runs are trained, and what became of each is told, whatever it is."""

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
    """What became of a run.

    Attributes:
        state: `done`, `stopped`, `failed` if the loss of a seed was not finite, `broken` by an error, or `elsewhere`
            if another process has it.
        note: what went wrong.
    """

    state: str
    note: str = ""


def done_or_failed(failed_seeds: Sequence[int]) -> Outcome:
    """The outcome of a run that was trained to its end."""
    if not failed_seeds:
        return Outcome("done")
    return Outcome("failed", f"the loss of seed {', '.join(map(str, failed_seeds))} was not finite")


def prepare(programs: Sequence[Program]) -> None:
    """Settles how many devices the programs will find: no more can be made once jax runs."""
    if programs:
        counts = [side_by_side(program.configs[0], program.home, program.seeds) for program in programs]
        configure_jax(programs[0].configs[0], max(counts))


def train_program(
    program: Program, stop: StopRequest, consoles: Sequence[RunConsole], film: Film | None = None
) -> list[Outcome]:
    """Trains the runs of a program, or continues them; call `prepare` before the first.

    Args:
        program: to train.
        stop: asked after every chunk.
        consoles: of each run.
        film: see `runner.train`.

    Returns:
        What became of each. An error of any kind is the program's own, so that the others of a sweep go on. It is
        written to error.txt in the program's home.
    """
    error_file = program.home / ERROR_FILE
    try:
        with contextlib.ExitStack() as stack:
            # In order, so that of two processes that begin the same program one gets it.
            places = {program.home.resolve(), *(Path(config.run_dir).resolve() for config in program.configs)}
            told = [line for place in sorted(places) for line in stack.enter_context(locked(place))]
            if error_file.is_file():
                error_file.unlink()
            check_plan(program)
            results = train_together(program.configs, program.home, stop, consoles, told, film)
    except ElsewhereError as error:
        return [Outcome("elsewhere", one_line(error))] * len(program.configs)
    except Exception as error:
        # Where nothing can be written, as on a full disk, the note has to do.
        with contextlib.suppress(OSError):
            program.home.mkdir(parents=True, exist_ok=True)
            error_file.write_text(traceback.format_exc(), encoding="utf-8")
        return [Outcome("broken", one_line(f"{type(error).__name__}: {error}"))] * len(program.configs)
    return [done_or_failed(result.failed_seeds) if result.is_complete else Outcome("stopped") for result in results]
