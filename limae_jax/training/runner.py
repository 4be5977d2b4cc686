"""The run as a whole: open its directory, train its groups of seeds one after the other, tell how it went.

Runs that share a compiled program are trained together, as if their seeds were seeds of one run.
"""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from limae_jax.config import TrainConfig
from limae_jax.config_file import check_stays, read_run
from limae_jax.environments import check_env
from limae_jax.metrics.console import ConsoleReport, RunConsole
from limae_jax.metrics.schema import Row
from limae_jax.metrics.writers import check_extras
from limae_jax.replay.memory import check_memory
from limae_jax.run_records import check_saved, checkpoint_is_gone, has_checkpoint, read_saved
from limae_jax.training.group import GroupTrainer
from limae_jax.training.plan import group_size
from limae_jax.training.report import RunReport
from limae_jax.training.run_directory import (
    changed_versions,
    check_in_the_way,
    locked,
    open_run,
    settle_groups,
    write_groups,
    write_run_files,
)
from limae_jax.training.setup import Setup, available_memory, configure_jax, make_setup
from limae_jax.training.sharding import group_seeds, wait_for_hosts
from limae_jax.training.shares import Group, GroupReport, share_groups, write_shared
from limae_jax.training.signals import StopRequest

EXIT_SEED_FAILED = 1


@dataclass(frozen=True)
class TrainResult:
    """How a run went.

    Attributes:
        run_dir: its directory.
        config: its settings.
        rows: every row of metrics.jsonl, in order.
        failed_seeds: whose loss was not finite.
        is_complete: whether every other seed has all its environment steps.
        exit_code: 0 if complete without failures, 1 with failed seeds, 128 + signal if it was stopped.
    """

    run_dir: Path
    config: TrainConfig
    rows: list[dict[str, Any]]
    failed_seeds: list[int]
    is_complete: bool
    exit_code: int

    @property
    def last_rows(self) -> list[dict[str, Any]]:
        """The last row of each seed."""
        return list({row["seed"]: row for row in self.rows}.values())


def train(config: TrainConfig, console: bool = False) -> TrainResult:
    """Trains a run to its end, or continues it if its directory holds it already.

    Args:
        config: all settings.
        console: whether to show progress, warnings and a final table.

    Raises:
        InputError: the settings cannot work here, or the directory holds something else.
        GameError: a game that the host plays kept failing.
    """
    check_env(config.env)
    check_extras(config.metrics)
    config = open_run(config)
    configure_jax(config)
    shown = ConsoleReport(config.run.total_env_steps, config.seeds, enabled=console and jax.process_index() == 0)
    with StopRequest() as stop, locked(Path(config.run_dir)):
        return train_together([config], Path(config.run_dir), stop, [shown])[0]


def resume(run_dir: Path, overrides: Sequence[str] = (), console: bool = False) -> TrainResult:
    """Continues the run in `run_dir`; the result equals that of a run that was never interrupted, bit for bit.

    Args:
        run_dir: of a run begun by `train`.
        overrides: a larger `run.total_env_steps`, which extends the run, and what changes no result.
        console: as for `train`.

    Raises:
        InputError: there is no run, or a setting would change.
    """
    from limae_jax.compose import override_config  # Hydra is for command lines; `train` does without.

    check_stays(overrides)
    config = override_config(read_run(Path(run_dir)), overrides)
    return train(replace(config, run=replace(config.run, dir=str(run_dir))), console)


def train_together(
    configs: Sequence[TrainConfig],
    home: Path,
    stop: StopRequest,
    consoles: Sequence[RunConsole],
    num_devices: int | None = None,
) -> list[TrainResult]:
    """Trains runs that share a program, or continues them.

    Args:
        configs: of the runs, with `run.dir` set; equal as `traced_settings.shares_program` has it.
        home: directory for what they have in common, held by the caller; of a single run, its own.
        stop: asked after every chunk.
        consoles: of each run, where it shows itself.
        num_devices: to train on; None takes all.

    Returns:
        How each run went.

    Raises:
        InputError: the settings cannot work here.
    """
    began = time.monotonic()
    reports: list[RunReport] = []
    setup = make_setup(configs[0], num_devices)
    try:
        groups = _split_seeds(configs, setup, home)
        seeds_per_device = len(groups[0].seeds) // setup.mesh.size
        memory = check_memory(configs[0], setup.env.spec, seeds_per_device, *available_memory(configs[0]))
        warnings = [changed_versions(Path(config.run_dir)) for config in configs]
        reports += [RunReport(config, console) for config, console in zip(configs, consoles, strict=True)]
        for report, texts in zip(reports, warnings, strict=True):
            report.start(memory, len(groups))
            for text in texts:
                report.warning(text)
        trainers = _restored(setup, groups, reports, home)
        # Nothing is written before all is read and checked: what is refused stays as it was.
        _write_files(configs, groups, home)
        for report in reports:
            report.open()
        failed = _train_groups(trainers, reports, stop)
        seconds = time.monotonic() - began
        return [_finish(report, stop, failed[run], setup, seconds) for run, report in enumerate(reports)]
    finally:
        setup.close()
        for report in reports:
            report.close()


def _split_seeds(configs: Sequence[TrainConfig], setup: Setup, home: Path) -> list[Group]:
    """The groups of the seeds, as they were begun if they were."""
    seeds = [seed for config in configs for seed in config.seeds]
    check_saved(home, seeds)
    for directory in (home, *(Path(config.run_dir) for config in configs)):
        check_in_the_way(directory)
    for config in configs:
        read_saved(Path(config.run_dir))  # written to later: if it is damaged, that is told before
    groups = group_seeds(seeds, group_size(configs[0], jax.default_backend(), len(seeds)), setup.mesh.size)
    return share_groups(configs, settle_groups(home, groups, setup.mesh.size, seeds), home)


def _restored(
    setup: Setup, groups: Sequence[Group], reports: Sequence[RunReport], home: Path
) -> Iterator[tuple[Group, GroupReport, GroupTrainer]]:
    """Restores the first group and checks what the others will be restored from.

    Returns:
        The groups, each with its trainer; those after the first are restored when they are come to, since the memory
        is for one at a time.
    """
    told = [(group, GroupReport(reports, group)) for group in groups]
    for group, report in told:
        if has_checkpoint(group.directory):
            report.check_metrics()
        elif report.was_saved():
            raise checkpoint_is_gone(home, group.directory.name)

    def restore(group: Group, report: GroupReport) -> GroupTrainer:
        return GroupTrainer(setup, group.seeds, len(group.runs), group.directory, report, group.shares)

    first = restore(*told[0])
    for group, _ in told[1:]:
        first.check(group.directory)
    later = ((group, report, restore(group, report)) for group, report in told[1:])
    return itertools.chain([(*told[0], first)], later)


def _write_files(configs: Sequence[TrainConfig], groups: Sequence[Group], home: Path) -> None:
    """What a run directory holds beside metrics and checkpoints."""
    wait_for_hosts("run files")
    for config in configs:
        write_run_files(config)
    write_groups(home, [group.seeds for group in groups])
    if len(configs) > 1:
        write_shared(home, groups)
    wait_for_hosts("run files written")


def _train_groups(
    trainers: Iterable[tuple[Group, GroupReport, GroupTrainer]], reports: Sequence[RunReport], stop: StopRequest
) -> list[list[int]]:
    """Trains group after group until one is stopped; returns the seeds of each run that failed."""
    failed: list[list[int]] = [[] for _ in reports]
    for group, report, trainer in trainers:
        report.continue_from(trainer.progress.iteration, trainer.progress.evaluations)
        if trainer.is_restored:
            report.checkpoint()
        is_complete = trainer.train(stop)
        for index in np.flatnonzero(trainer.is_failed[: len(group.runs)]):
            failed[group.runs[index]].append(int(group.seeds[index]))
        report.saved(trainer.progress.save_s, trainer.progress.wall_s, trainer.staging_bytes)
        if not is_complete:
            break
    return failed


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
    report.summary(result.last_rows, failed, seconds, setup.compile_s)
    if not is_complete:
        report.stopped(f"limae-jax resume {shlex.quote(config.run_dir)}")
    return result


def _all_have_enough(config: TrainConfig, rows: list[Row], failed: list[int]) -> bool:
    steps = {row["seed"]: row["env_steps"] for row in rows}
    return all(seed in failed or steps.get(seed, 0) >= config.run.total_env_steps for seed in config.seeds)
