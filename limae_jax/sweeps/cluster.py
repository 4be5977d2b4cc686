"""Trains programs of a sweep as cluster jobs. The only module that imports submitit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from limae_jax.checks import one_line
from limae_jax.config.sweep import SweepConfig
from limae_jax.errors import InputError
from limae_jax.metrics.console import ConsoleReport
from limae_jax.metrics.jsonl import read_rows
from limae_jax.sweeps.plan import Program
from limae_jax.sweeps.program import Outcome, prepare, train_program
from limae_jax.sweeps.table import CellConsole
from limae_jax.training.report import Film
from limae_jax.training.signals import StopRequest

POLL_S = 2.0


def train_in_job(program: Program, film: Film | None = None) -> list[Outcome]:
    """Trains a program; the function that a job runs."""
    prepare([program])
    # The process that submitted the job shows the progress, from the runs' files.
    quiet = [ConsoleReport(config.run.total_env_steps, config.seeds, enabled=False) for config in program.configs]
    with StopRequest() as stop:
        return train_program(program, stop, quiet, film)


def send_programs(
    programs: Sequence[Program],
    settings: SweepConfig,
    stop: StopRequest,
    consoles: Callable[[Program], Sequence[CellConsole]],
    film: Film | None = None,
) -> Iterator[tuple[Program, list[Outcome]]]:
    """Submits each program as a job and waits for the jobs; after a stop the jobs continue by themselves.

    Args:
        programs: to train; a program that an earlier job still trains is left to that job.
        settings: of the sweep.
        stop: ends the waiting.
        consoles: returns the consoles of a program, which show the progress of its runs.
        film: see `runner.train`.

    Yields:
        Each finished program with the outcomes of its runs.

    Raises:
        InputError: submitit is not installed, or rejects the options.
    """
    executor = _executor(settings)
    jobs = {executor.submit(train_in_job, program, film): program for program in programs}
    while jobs and stop.signal is None:
        for job in [job for job in jobs if job.done()]:
            program = jobs.pop(job)
            _show(program, consoles(program))
            yield program, _outcomes(job, program)
        for job, program in jobs.items():
            if job.state == "RUNNING":
                _show(program, consoles(program))
        if jobs:
            time.sleep(POLL_S)


def _executor(settings: SweepConfig) -> Any:
    try:
        import submitit
    except ImportError:
        install = "pip install 'limae-jax[cluster]'"
        raise InputError(f"sweep.cluster={settings.cluster}: needs the extra `cluster`; {install}") from None
    try:
        executor = submitit.AutoExecutor(Path(str(settings.dir)) / "jobs", settings.cluster)
        executor.update_parameters(name="limae_jax", **settings.cluster_options)
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise InputError(f"sweep.cluster={settings.cluster}: submitit refuses it: {one_line(error)}") from None
    return executor


def _outcomes(job: Any, program: Program) -> list[Outcome]:
    if job.exception() is None:
        return job.result()
    return [Outcome("broken", f"job {job.job_id} died, see {job.paths.stderr}")] * len(program.configs)


def _show(program: Program, consoles: Sequence[CellConsole]) -> None:
    for config, console in zip(program.configs, consoles, strict=True):
        console.read(read_rows(Path(config.run_dir) / "metrics.jsonl"))
