"""Assigns the seeds of a program to runs: runs may share a program, each with its own directory."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from limae_jax.config import TrainConfig
from limae_jax.config.traced import traced_values
from limae_jax.metrics.schema import Row
from limae_jax.metrics.waiting import TimeLeft
from limae_jax.runs.directory import group_directory, note_saved, write_atomically
from limae_jax.runs.records import CHECKPOINTS, GROUPS_FILE, SHARED_FILE
from limae_jax.training.report import RunReport
from limae_jax.types import PyTree


class Share(NamedTuple):
    """One run's part of a group.

    Attributes:
        config: settings of the run.
        seeds: seeds of the run in the group.
        begin: index of the first of them in the group.
        directory: for their parameters.
    """

    config: TrainConfig
    seeds: np.ndarray
    begin: int
    directory: Path

    @property
    def end(self) -> int:
        """Index after its last seed in the group."""
        return self.begin + len(self.seeds)

    def of(self, tree: PyTree) -> PyTree:
        """Returns this run's part of arrays with a leading [S]."""
        return jax.tree.map(lambda x: jax.device_put(np.asarray(x)[self.begin : self.end]), tree)


class Group(NamedTuple):
    """Seeds that are trained at the same time.

    Attributes:
        seeds: [S].
        shares: in the order of the seeds; together they cover all seeds.
        runs: [R] index of the run of each reported seed. The other S - R seeds only fill up the devices.
        directory: for checkpoints.
    """

    seeds: np.ndarray
    shares: tuple[Share, ...]
    runs: np.ndarray
    directory: Path


def share_groups(configs: Sequence[TrainConfig], groups: Sequence[np.ndarray], home: Path) -> list[Group]:
    """Assigns the seeds of each group to runs.

    Args:
        configs: of the runs, which share a program.
        groups: seeds of one run after the other, split into groups; seeds at the end only fill up the devices.
        home: directory for what the runs have in common; for a single run, its own directory.
    """
    size = len(groups[0])
    runs = np.repeat(np.arange(len(configs)), [config.run.num_seeds for config in configs])
    shared = []
    for number, seeds in enumerate(groups):
        reported = runs[number * size : (number + 1) * size]
        if not len(reported):
            continue
        owners = np.append(reported, np.full(size - len(reported), reported[-1]))
        shares = []
        for run in np.unique(owners):
            begin, end = np.searchsorted(owners, run), np.searchsorted(owners, run, side="right")
            own = seeds[begin:end]
            shares.append(Share(configs[run], own, int(begin), group_directory(Path(configs[run].run_dir), own)))
        directory = shares[0].directory if len(configs) == 1 else home / CHECKPOINTS / f"group_{number}"
        shared.append(Group(seeds, tuple(shares), reported, directory))
    return shared


def traced_arrays(shares: Sequence[Share]) -> dict[str, np.ndarray]:
    """Returns the traced settings of every seed of a group, [S] each."""
    counts = [len(share.seeds) for share in shares]
    values = [traced_values(share.config) for share in shares]
    return {name: np.repeat([each[name] for each in values], counts) for name in values[0]}


def write_shared(home: Path, groups: Sequence[Group]) -> None:
    """Records which runs share a program, and in each run how its seeds are split."""
    shares = [share for group in groups for share in group.shares]
    splits: dict[Path, list[list[int]]] = {}
    for share in shares:
        splits.setdefault(Path(share.config.run_dir).resolve(), []).append(share.seeds.tolist())
    home = home.resolve()
    write_atomically(home / SHARED_FILE, json.dumps({"runs": [os.path.relpath(one, home) for one in splits]}) + "\n")
    for run_dir, split in splits.items():
        write_atomically(run_dir / GROUPS_FILE, json.dumps(split) + "\n")
        write_atomically(run_dir / SHARED_FILE, json.dumps({"home": os.path.relpath(home, run_dir)}) + "\n")


class GroupReport:
    """Forwards to each run's report what concerns the run."""

    def __init__(self, reports: Sequence[RunReport], group: Group):
        self._reports = {int(run): reports[run] for run in np.unique(group.runs)}
        self._runs, self._seeds = group.runs, group.seeds[: len(group.runs)]
        self._directories = list(dict.fromkeys([group.directory, *(share.directory for share in group.shares)]))

    def was_saved(self) -> bool:
        """Whether the metrics of a run of the group show that the run was saved."""
        return any(report.was_saved(self._seeds[self._runs == run].tolist()) for run, report in self._reports.items())

    def check_metrics(self) -> None:
        """Checks that each run of the group still has its metrics file."""
        for report in self._reports.values():
            report.check_metrics()

    def continue_from(self, iteration: int, evaluations: int | None) -> None:
        """Cuts the metrics back to where the group continues."""
        for run, report in self._reports.items():
            report.continue_from(self._seeds[self._runs == run].tolist(), iteration, evaluations)

    def progress(
        self, phase: str, env_steps: np.ndarray, env_steps_per_s: float, loss: float | None, left: TimeLeft | None
    ) -> None:
        """Called after each chunk; a run's speed is its share of the group's speed."""
        for run, report in self._reports.items():
            is_own = self._runs == run
            report.progress(phase, env_steps[is_own], env_steps_per_s * float(np.mean(is_own)), loss, left)

    def evaluation(self, rows: list[Row]) -> None:
        """Called after each evaluation with one row per seed."""
        for run, report in self._reports.items():
            report.evaluation([row for row, owner in zip(rows, self._runs, strict=True) if owner == run])

    def checkpoint(self) -> None:
        """Called after each save."""
        note_saved(self._directories)

    def saved(self, save_s: float, wall_s: float, staging_bytes: int) -> None:
        """Shows what saving cost the group."""
        for report in self._reports.values():
            report.saved(save_s, wall_s, staging_bytes)

    def warning(self, text: str) -> None:
        """Shows a warning once."""
        next(iter(self._reports.values())).warning(text)
