"""A whole run: opens its directory, trains its groups of seeds one after the other, and returns the result.

Runs that share a compiled program are trained together, as if their seeds were seeds of one run.
"""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from limae_jax.checks import check, user_path
from limae_jax.config import SmaxConfig, TrainConfig
from limae_jax.config.changes import check_stays
from limae_jax.devices.hosts import wait_for_hosts
from limae_jax.environments import check_env
from limae_jax.metrics.console import ConsoleReport, RunConsole
from limae_jax.metrics.schema import Row
from limae_jax.metrics.writers import check_extras
from limae_jax.replay.memory import check_memory
from limae_jax.runs.directory import (
    changed_versions,
    check_in_the_way,
    groups_as_begun,
    open_run,
    write_groups,
    write_run_files,
)
from limae_jax.runs.lock import locked
from limae_jax.runs.records import check_saved, checkpoint_is_gone, has_checkpoint, read_saved
from limae_jax.runs.stored import read_run
from limae_jax.training.forecast import Forecast
from limae_jax.training.group import GroupTrainer
from limae_jax.training.plan import group_seeds, group_size
from limae_jax.training.report import Film, RunReport
from limae_jax.training.result import EXIT_SEED_FAILED, TrainResult
from limae_jax.training.setup import (
    Setup,
    available_memory,
    configure_jax,
    devices_for,
    make_setup,
    stored_bytes,
)
from limae_jax.training.shares import Group, GroupReport, share_groups, write_shared
from limae_jax.training.signals import StopRequest


def train(config: TrainConfig, console: bool = True, film: Film | None = None) -> TrainResult:
    """Trains a run to its end, or continues it if its directory already holds it.

    Args:
        config: all settings.
        console: whether to show progress, warnings and a final table on the standard output.
        film: draws the battle of `metrics.wandb_video`.

    Raises:
        InputError: the settings cannot work on this machine, or the directory holds something else.
        GameError: a game in a worker process kept failing.
    """
    check_env(config.env)
    check_extras(config.metrics)
    check_film(config, film)
    config = open_run(config)
    configure_jax(config)
    shown = ConsoleReport(config.run.total_env_steps, config.seeds, enabled=console and jax.process_index() == 0)
    with StopRequest() as stop, locked(Path(config.run_dir)) as told:
        return train_together([config], Path(config.run_dir), stop, [shown], told, film)[0]


def check_film(config: TrainConfig, film: Film | None) -> None:
    """Checks that battles can be drawn if `metrics.wandb_video` asks for them."""
    if config.metrics.wandb_video:
        fix = "only battles of env=smax can be shown; leave it out"
        check(isinstance(config.env, SmaxConfig), "metrics.wandb_video", True, fix)
        fix = "needs a function that draws it; call train(config, film=limae_jax.analysis.render.film_best)"
        check(film is not None, "metrics.wandb_video", True, fix)


def resume(
    run_dir: str | Path, overrides: Sequence[str] = (), console: bool = True, film: Film | None = None
) -> TrainResult:
    """Continues the run in `run_dir`; the result equals that of an uninterrupted run, bit for bit.

    Args:
        run_dir: of a run started by `train`.
        overrides: a larger `run.total_env_steps`, which extends the run, and settings that change no result.
        console, film: as for `train`.

    Raises:
        InputError: there is no run, or an override would change its results.
    """
    from limae_jax.config.compose import override_config  # Hydra is for command lines; `train` does without.

    check_stays(overrides)
    run_dir = user_path("RUN_DIR", run_dir)
    config = override_config(read_run(Path(run_dir)), overrides)
    return train(replace(config, run=replace(config.run, dir=run_dir)), console, film)


def train_together(
    configs: Sequence[TrainConfig],
    home: Path,
    stop: StopRequest,
    consoles: Sequence[RunConsole],
    told: Sequence[str] = (),
    film: Film | None = None,
) -> list[TrainResult]:
    """Trains or continues runs that share a compiled program.

    Args:
        configs: settings of the runs, with `run.dir` set; all share a program (`config.traced.shares_program`).
        home: directory of the shared files, locked by the caller; for a single run, its own directory.
        stop: checked after every chunk.
        consoles: output of each run.
        told: warnings that concern all runs.
        film: as for `train`.

    Returns:
        The result of each run.

    Raises:
        InputError: the settings cannot work on this machine.
    """
    began = time.monotonic()
    reports: list[RunReport] = []
    seeds = [seed for config in configs for seed in config.seeds]
    setup = make_setup(configs[0], devices_for(configs[0], home, seeds))
    try:
        groups = _split_seeds(configs, setup, home)
        seeds_per_device = len(groups[0].seeds) // setup.mesh.size
        available = available_memory(configs[0], len(setup.mesh.local_devices))
        memory = check_memory(configs[0], setup.env.spec, stored_bytes(setup.parts), seeds_per_device, *available)
        warnings = [changed_versions(Path(config.run_dir)) for config in configs]
        reports += [RunReport(config, console) for config, console in zip(configs, consoles, strict=True)]
        for report, texts in zip(reports, warnings, strict=True):
            report.start(memory, len(groups), setup.mesh.size)
            for text in texts:
                report.warning(text)
        for text in told:
            reports[0].warning(text)
        # The first run reports what is compiled for all of them.
        setup.compiler.watcher = reports[0]
        forecast = Forecast(setup.config, setup.plans, setup.compiler, len(groups))
        trainers = _restored(setup, groups, reports, home, forecast)
        # Nothing is written before everything is read and checked, so a refused run stays as it was.
        _write_files(configs, groups, home)
        for report in reports:
            report.open()
        failed = _train_groups(trainers, reports, stop, forecast)
        seconds = time.monotonic() - began
        results = [_finish(report, stop, failed[run], setup, seconds) for run, report in enumerate(reports)]
        for report, result in zip(reports, results, strict=True):
            if film and result.is_complete:
                report.add_video(film)
        return results
    finally:
        setup.compiler.watcher = None
        setup.close()
        for report in reports:
            report.close()


def _split_seeds(configs: Sequence[TrainConfig], setup: Setup, home: Path) -> list[Group]:
    """Returns the groups of seeds; a run that was started before keeps its groups."""
    seeds = [seed for config in configs for seed in config.seeds]
    check_saved(home, seeds)
    for directory in (home, *(Path(config.run_dir) for config in configs)):
        check_in_the_way(directory)
    for config in configs:
        read_saved(Path(config.run_dir))  # reports damage before anything is written
    groups = group_seeds(seeds, group_size(configs[0], jax.default_backend(), len(seeds)), setup.mesh.size)
    return share_groups(configs, groups_as_begun(home, groups, setup.mesh.size, seeds), home)


def _restored(
    setup: Setup, groups: Sequence[Group], reports: Sequence[RunReport], home: Path, forecast: Forecast
) -> Iterator[tuple[Group, GroupReport, GroupTrainer]]:
    """Restores the first group and checks the checkpoints of the others.

    Returns:
        An iterator over the groups and their trainers. Groups after the first are restored when the iterator reaches
        them, since memory holds one group at a time.
    """
    told = [(group, GroupReport(reports, group)) for group in groups]
    for group, report in told:
        if has_checkpoint(group.directory):
            report.check_metrics()
        elif report.was_saved():
            raise checkpoint_is_gone(home, group.directory.name)

    def restore(group: Group, report: GroupReport) -> GroupTrainer:
        return GroupTrainer(setup, group.seeds, len(group.runs), group.directory, report, group.shares, forecast)

    first = restore(*told[0])
    for group, _ in told[1:]:
        first.check(group.directory)
    later = ((group, report, restore(group, report)) for group, report in told[1:])
    return itertools.chain([(*told[0], first)], later)


def _write_files(configs: Sequence[TrainConfig], groups: Sequence[Group], home: Path) -> None:
    """Writes the files of the run directories other than metrics and checkpoints."""
    wait_for_hosts("run files")
    for config in configs:
        write_run_files(config)
    write_groups(home, [group.seeds for group in groups])
    if len(configs) > 1:
        write_shared(home, groups)
    wait_for_hosts("run files written")


def _train_groups(
    trainers: Iterable[tuple[Group, GroupReport, GroupTrainer]],
    reports: Sequence[RunReport],
    stop: StopRequest,
    forecast: Forecast,
) -> list[list[int]]:
    """Trains group after group until one is stopped; returns the failed seeds of each run."""
    failed: list[list[int]] = [[] for _ in reports]
    is_told = False
    for group, report, trainer in trainers:
        report.continue_from(trainer.progress.iteration, trainer.progress.evaluations)
        if trainer.is_restored:
            report.checkpoint()
        if trainer.rows_to_refill and not is_told:
            report.warning(_cost_of_refill(trainer.setup.config, trainer.rows_to_refill))
            is_told = True
        is_complete = trainer.train(stop)
        for index in np.flatnonzero(trainer.is_failed[: len(group.runs)]):
            failed[group.runs[index]].append(int(group.seeds[index]))
        report.saved(trainer.progress.save_s, trainer.progress.wall_s, trainer.staging_bytes)
        forecast.next_group()
        del trainer  # memory holds one group at a time
        if not is_complete:
            break
    return failed


def _cost_of_refill(config: TrainConfig, rows: int) -> str:
    steps = rows * config.replay.row_length
    return (
        f"the replay was dropped when the run was finished: each seed first plays {steps:,} time steps"
        f" ({rows:,} rows) without learning, so the result is not that of a run that never ended;"
        " checkpoint.keep_replay=true keeps the replay next time"
    )


def _finish(report: RunReport, stop: StopRequest, failed: list[int], setup: Setup, seconds: float) -> TrainResult:
    config, rows = report.config, report.rows()
    is_complete = stop.signal is None or _all_have_enough(config, rows, failed)
    result = TrainResult(
        run_dir=Path(config.run_dir),
        config=config,
        rows=rows,
        failed_seeds=failed,
        is_complete=is_complete,
        exit_code=(EXIT_SEED_FAILED if failed else 0) if is_complete else stop.exit_code,
    )
    report.summary(result.last_rows, failed, seconds, setup.compiler.seconds)
    if is_complete:
        report.kept()
    else:
        report.stopped(f"limae-jax resume {shlex.quote(config.run_dir)}")
    return result


def _all_have_enough(config: TrainConfig, rows: list[Row], failed: list[int]) -> bool:
    steps = {row["seed"]: row["env_steps"] for row in rows}
    return all(seed in failed or steps.get(seed, 0) >= config.run.total_env_steps for seed in config.seeds)
