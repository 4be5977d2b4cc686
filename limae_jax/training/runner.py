"""The run as a whole: open its directory, train its groups of seeds one after the other, tell how it went."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from limae_jax.config import TrainConfig
from limae_jax.config_file import read_run
from limae_jax.environments import check_env
from limae_jax.metrics.schema import Row
from limae_jax.replay.memory import check_memory
from limae_jax.training.group import GroupTrainer
from limae_jax.training.plan import group_size
from limae_jax.training.report import RunReport
from limae_jax.training.run_directory import group_directory, locked, open_run, settle_groups, write_run_files
from limae_jax.training.setup import Setup, available_memory, configure_jax, make_setup
from limae_jax.training.sharding import group_seeds, wait_for_hosts
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
    config = open_run(config)
    configure_jax(config)
    with StopRequest() as stop, locked(Path(config.run_dir)):
        return _run(config, console, stop)


def resume(run_dir: Path, overrides: Sequence[str] = (), console: bool = False) -> TrainResult:
    """Continues the run in `run_dir`; the result equals that of a run that was never interrupted, bit for bit.

    Args:
        run_dir: of a run begun by `train`.
        overrides: only a larger `run.total_env_steps` is accepted: it extends the run.
        console: as for `train`.

    Raises:
        InputError: there is no run, or a setting would change.
    """
    from limae_jax.compose import override_config  # Hydra is for command lines; `train` does without.

    config = override_config(read_run(Path(run_dir)), overrides)
    return train(replace(config, run=replace(config.run, dir=str(run_dir))), console)


def _run(config: TrainConfig, console: bool, stop: StopRequest) -> TrainResult:
    began, run_dir = time.monotonic(), Path(config.run_dir)
    setup = make_setup(config)
    groups = group_seeds(config.seeds, group_size(config, jax.default_backend()), setup.mesh.size)
    if (run_dir / "groups.json").exists():
        groups = settle_groups(run_dir, groups, setup.mesh.size)
    seeds_per_device = len(groups[0]) // setup.mesh.size
    memory = check_memory(config, setup.env.spec, seeds_per_device, *available_memory(config))
    wait_for_hosts("run files")
    warnings = write_run_files(config)
    groups = settle_groups(run_dir, groups, setup.mesh.size)
    wait_for_hosts("run files written")
    report = RunReport(config, console)
    report.start(memory, len(groups))
    for text in warnings:
        report.warning(text)
    try:
        failed = _train_groups(setup, groups, report, stop)
        return _finish(config, report, stop, failed, setup, time.monotonic() - began)
    finally:
        setup.close()
        report.close()


def _train_groups(setup: Setup, groups: list[np.ndarray], report: RunReport, stop: StopRequest) -> list[int]:
    """Trains group after group until one is stopped; returns the seeds that failed."""
    config, run_dir = setup.config, Path(setup.config.run_dir)
    failed: list[int] = []
    for group in groups:
        reported = group[group < config.seeds[0] + config.run.num_seeds]
        if not len(reported):
            continue
        trainer = GroupTrainer(setup, group, len(reported), group_directory(run_dir, group), report)
        report.continue_from(reported.tolist(), trainer.progress.iteration)
        is_complete = trainer.train(stop)
        failed += reported[trainer.is_failed[: len(reported)]].tolist()
        report.saved(trainer.progress.save_s, trainer.progress.wall_s, trainer.staging_bytes)
        if not is_complete:
            break
    return failed


def _finish(
    config: TrainConfig, report: RunReport, stop: StopRequest, failed: list[int], setup: Setup, seconds: float
) -> TrainResult:
    rows: list[Row] = report.rows()
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
