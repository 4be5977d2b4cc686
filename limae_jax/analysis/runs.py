"""Reads run directories and groups their seeds into cells: one method on one map.

A method is a system, its masking rule, and the settings in which runs of the same system and rule differ. A map is a
scenario and the game settings in which runs of the same scenario differ. `labels` names both. So only seeds with equal
settings are pooled, and runs that must not be compared are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limae_jax.analysis.labels import flat, map_labels, method_labels
from limae_jax.config import TrainConfig
from limae_jax.errors import InputError
from limae_jax.metrics.jsonl import read_rows
from limae_jax.metrics.schema import Row
from limae_jax.runs.records import read_versions
from limae_jax.runs.stored import read_run

# Environment family -> package of the game.
_GAME_PACKAGE = {"smax": "jaxmarl", "mpe": "jaxmarl"}


@dataclass(frozen=True)
class Run:
    """The content of a run directory.

    Attributes:
        path: of the directory.
        config: settings.
        versions: of versions.json; empty if there is none.
        rows: seed -> rows of metrics.jsonl, in order.
    """

    path: Path
    config: TrainConfig
    versions: dict[str, Any]
    rows: dict[int, list[Row]]


@dataclass(frozen=True, eq=False)
class SeedCurve:
    """The evaluations of one seed.

    Attributes:
        run_dir: where it was trained.
        seed: its number.
        env_steps: [E] of the evaluations, pre-training included.
        metrics: name -> [E], NaN where a row lacks the metric.
    """

    run_dir: Path
    seed: int
    env_steps: np.ndarray
    metrics: dict[str, np.ndarray]

    def metric(self, name: str) -> np.ndarray:
        """Returns [E] values, all NaN if no row has the metric."""
        return self.metrics.get(name, np.full(len(self.env_steps), np.nan))


@dataclass(frozen=True, eq=False)
class Cell:
    """The seeds of one method on one map.

    Attributes:
        env: family of games.
        map: scenario, and game settings that differ.
        method: system, masking rule, and settings that differ.
        masking: the rule; None for a system without one.
        budget_env_steps: environment steps of every seed.
        every_time_steps: time steps between evaluations, final observations included.
        num_episodes: of an evaluation.
        seeds: in order.
    """

    env: str
    map: str
    method: str
    masking: str | None
    budget_env_steps: int
    every_time_steps: int
    num_episodes: int
    seeds: tuple[SeedCurve, ...]

    def has(self, metric: str) -> bool:
        """Whether every seed has the metric at some evaluation."""
        return all(np.isfinite(seed.metric(metric)).any() for seed in self.seeds)


@dataclass(frozen=True)
class Study:
    """All cells, with notes for the reader.

    Attributes:
        cells: map by map, in the order of the methods.
        methods: the first is the baseline: QMIX, with the most default settings, if there is one.
        notes: one sentence each.
    """

    cells: tuple[Cell, ...]
    methods: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def maps(self) -> list[str]:
        """The maps in order."""
        return list(dict.fromkeys(cell.map for cell in self.cells))

    def on(self, map_name: str) -> list[Cell]:
        """Returns the cells of a map, in the order of the methods."""
        return [cell for cell in self.cells if cell.map == map_name]


def read_study(run_dirs: Sequence[Path]) -> Study:
    """Reads runs into a study.

    Args:
        run_dirs: of `train`; each may hold several seeds, but a seed of a cell may be in one run only.

    Raises:
        InputError: a directory is not a run or its metrics are damaged, or runs of a map must not be compared.
    """
    if len({path.resolve() for path in run_dirs}) < len(run_dirs):
        raise InputError("RUN_DIR: a directory is named twice; name each run once")
    runs = [_read(path) for path in run_dirs]
    configs = [run.config for run in runs]
    maps, methods = ([label.name for label in labels(configs)] for labels in (map_labels, method_labels))
    pooled: dict[tuple[str, str], list[Run]] = {}
    for run, map_name, method in zip(runs, maps, methods, strict=True):
        pooled.setdefault((map_name, method), []).append(run)
    for map_name in dict.fromkeys(maps):
        _check_comparable(map_name, [run for run, name in zip(runs, maps, strict=True) if name == map_name])
    notes: list[str] = []
    cells = [_cell(map_name, method, some, notes) for (map_name, method), some in pooled.items()]
    for (map_name, method), some in pooled.items():
        notes += _other_versions(f"The seeds of {method} on {map_name}", some)
    cells = [cell for cell in cells if cell.seeds]
    if not cells:
        raise _nothing_finished(runs)
    here = {cell.method for cell in cells}
    order = tuple(name for name in _ordered(configs) if name in here)
    found = sorted(cells, key=lambda cell: (maps.index(cell.map), order.index(cell.method)))
    return Study(tuple(found), order, (*notes, *_other_versions("The runs", runs)))


def _ordered(configs: Sequence[TrainConfig]) -> list[str]:
    """Returns the methods in the order of the runs, but QMIX first, with the most default settings foremost."""
    labels = zip(configs, method_labels(configs), strict=True)
    ranks = {
        label.name: (False, label.num_unusual) if config.system.name == "qmix" else (True, 0)
        for config, label in labels
    }
    return sorted(ranks, key=ranks.__getitem__)


def _is_failed(rows: Sequence[Row]) -> bool:
    return bool(rows and rows[-1].get("is_failed"))


def _nothing_finished(runs: Sequence[Run]) -> InputError:
    """Returns the error if no seed can be reported; failed seeds need other settings, as they would fail again."""
    waiting = [run for run in runs if any(not _is_failed(run.rows.get(seed, [])) for seed in run.config.seeds)]
    if waiting:
        where = waiting[0].path
        return InputError(f"RUN_DIR={where}: no seed has finished; continue it with limae-jax resume {where}")
    return InputError(
        f"RUN_DIR={runs[0].path}: every seed failed (its loss was not finite), so there is nothing to report;"
        " train other settings in another directory"
    )


def _read(path: Path) -> Run:
    config = read_run(path)
    rows: dict[int, list[Row]] = {}
    for row in read_rows(path / "metrics.jsonl"):
        if row["seed"] in config.seeds:
            rows.setdefault(row["seed"], []).append(row)
    return Run(path, config, read_versions(path), rows)


def _check_comparable(map_name: str, runs: Sequence[Run]) -> None:
    """Checks that runs of a map have equal budgets, evaluations and versions of the game."""
    first = runs[0]
    package = _GAME_PACKAGE.get(first.config.env.name)
    for run in runs[1:]:
        where = f"RUN_DIR={run.path}"
        games = [one.versions.get(package) for one in (first, run)] if package else [None, None]
        if games[0] != games[1]:
            raise InputError(
                f"{where}: {map_name} was played with {package} {games[1]}, in {first.path} with {games[0]};"
                " report them apart"
            )
        for name in ("run.total_env_steps", "evaluation.every_time_steps", "evaluation.num_episodes"):
            here, there = flat(run.config)[name], flat(first.config)[name]
            if here != there:
                fix = "extend the shorter with limae-jax resume, or " if name.startswith("run.") else ""
                raise InputError(
                    f"{where}: {map_name} has {name}={here}, in {first.path} {there}; {fix}report them apart"
                )


def _cell(map_name: str, method: str, runs: Sequence[Run], notes: list[str]) -> Cell:
    """Pools runs of equal settings; adds the seeds that it leaves out to `notes`."""
    config, where = runs[0].config, f"{method} on {map_name}"
    seeds: dict[int, SeedCurve] = {}
    for run in runs:
        for seed in run.config.seeds:
            rows = run.rows.get(seed, [])
            if seed in seeds:
                raise InputError(
                    f"RUN_DIR={run.path}: seed {seed} of {where} is in {seeds[seed].run_dir} too; name one of them"
                )
            if _is_failed(rows):
                notes.append(f"{where}: seed {seed} failed (its loss was not finite) and is left out.")
            elif not rows or rows[-1]["env_steps"] < config.run.total_env_steps:
                steps = rows[-1]["env_steps"] if rows else 0
                budget = config.run.total_env_steps
                notes.append(f"{where}: seed {seed} has {steps:,} of {budget:,} env steps and is left out.")
            else:
                seeds[seed] = SeedCurve(run.path, seed, *_columns(rows))
    return Cell(
        env=config.env.name,
        map=map_name,
        method=method,
        masking=config.rule,
        budget_env_steps=config.run.total_env_steps,
        every_time_steps=config.evaluation.every_time_steps,
        num_episodes=config.evaluation.num_episodes,
        seeds=tuple(seeds[seed] for seed in sorted(seeds)),
    )


def _columns(rows: Iterable[Row]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rows = list(rows)
    numbers = [{k: v for k, v in row.items() if isinstance(v, int | float)} for row in rows]
    names = dict.fromkeys(name for row in numbers for name in row)
    columns = {name: np.array([row.get(name, np.nan) for row in numbers], float) for name in names}
    return np.array([row["env_steps"] for row in rows]), columns


def _other_versions(who: str, runs: Sequence[Run]) -> list[str]:
    """Returns notes on differing versions and devices, which may change results."""
    notes = []
    for name in ("limae-jax", "git_commit", "jax", "device"):
        found = sorted({str(run.versions.get(name) or "not recorded") for run in runs})
        if len(found) > 1:
            notes.append(f"{who} differ in {name}: {', '.join(found)}.")
    return notes
