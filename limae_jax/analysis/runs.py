"""Reads run directories and sorts their seeds into cells: one method on one map.

A method is a system, its masking rule, and the settings in which runs of the same system and rule differ. A map is a
scenario and the settings of the game in which runs of the same scenario differ. A name has those of these settings that
are not the default. So only seeds of equal settings are ever pooled; what must not be compared is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limae_jax.checks import one_line
from limae_jax.config import ENV_CONFIGS, TrainConfig
from limae_jax.config_file import read_run, to_dict
from limae_jax.errors import InputError
from limae_jax.metrics.jsonl import read_rows
from limae_jax.metrics.schema import Row
from limae_jax.run_records import read_versions
from limae_jax.systems.names import label

# What does not change a result, or is checked on its own: the budget and how it is evaluated.
_NOT_OF_A_METHOD = ("run.", "checkpoint.", "metrics.", "evaluation.", "env.")
# Settings of section env that are the learner's, or only say how games are run.
_OF_A_METHOD = ("env.num_envs", "env.workers")
_NOT_OF_A_MAP = (*_OF_A_METHOD, "env.timeout_s", "env.max_crashes", "env.replays")
# Package that is the game, by environment family.
_GAME_PACKAGE = {"smax": "jaxmarl", "mpe": "jaxmarl"}


@dataclass(frozen=True)
class Run:
    """A run directory as it was read.

    Attributes:
        path: of the directory.
        config: its settings.
        versions: its versions.json; empty if there is none.
        rows: of metrics.jsonl, by seed, in order.
    """

    path: Path
    config: TrainConfig
    versions: dict[str, Any]
    rows: dict[int, list[Row]]


@dataclass(frozen=True)
class SeedCurve:
    """The evaluations of one seed.

    Attributes:
        run_dir: where it was trained.
        seed: its number.
        env_steps: [E] when it was evaluated, pre-training included.
        metrics: name -> [E], NaN where a row does not have it.
    """

    run_dir: Path
    seed: int
    env_steps: np.ndarray
    metrics: dict[str, np.ndarray]

    def metric(self, name: str) -> np.ndarray:
        """[E], all NaN if no row has it."""
        return self.metrics.get(name, np.full(len(self.env_steps), np.nan))


@dataclass(frozen=True)
class Cell:
    """The seeds of one method on one map.

    Attributes:
        map: scenario, and settings of the game that differ.
        method: system, masking rule, and settings that differ.
        masking: the rule, None for a system without.
        budget_env_steps: environment steps that every seed had.
        every_env_steps: time steps between evaluations, final observations included.
        num_episodes: of an evaluation.
        seeds: in order.
    """

    map: str
    method: str
    masking: str | None
    budget_env_steps: int
    every_env_steps: int
    num_episodes: int
    seeds: tuple[SeedCurve, ...]

    def has(self, metric: str) -> bool:
        """Whether every seed has the metric at some evaluation."""
        return all(np.isfinite(seed.metric(metric)).any() for seed in self.seeds)


@dataclass(frozen=True)
class Study:
    """All cells, and what the reader has to know about them.

    Attributes:
        cells: map by map, the methods in their order.
        notes: one sentence each.
    """

    cells: tuple[Cell, ...]
    notes: tuple[str, ...]

    @property
    def maps(self) -> list[str]:
        """In order."""
        return list(dict.fromkeys(cell.map for cell in self.cells))

    @property
    def methods(self) -> list[str]:
        """In order; the first one is what the others are compared with: QMIX, as usual, if there is one."""
        names = dict.fromkeys(cell.method for cell in self.cells)
        return sorted(names, key=lambda name: (name != "qmix", name.partition(",")[0] != "qmix"))

    def on(self, map_name: str) -> list[Cell]:
        """The cells of a map, in the order of the methods."""
        return sorted((cell for cell in self.cells if cell.map == map_name), key=lambda c: self.methods.index(c.method))


def read_study(run_dirs: Sequence[Path]) -> Study:
    """Reads runs.

    Args:
        run_dirs: of `train`; each may hold several seeds, and a seed may be in one of them only.

    Raises:
        InputError: one is no run or its metrics are damaged, or runs of a map must not be compared.
    """
    if len({path.resolve() for path in run_dirs}) < len(run_dirs):
        raise InputError("RUN_DIR: a directory is named twice; name each run once")
    runs = [_read(path) for path in run_dirs]
    maps = _names(runs, lambda config: (config.env.name, config.env.scenario), _map_settings, _map_name)
    methods = _names(runs, lambda config: (config.system.name, config.masking.name), _method_settings, _method_name)
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
        raise InputError(
            f"RUN_DIR={run_dirs[0]}: no seed has finished; continue it with limae-jax resume {run_dirs[0]}"
        )
    order = Study(tuple(cells), ())
    cells = [cell for map_name in order.maps for cell in order.on(map_name)]
    return Study(tuple(cells), (*notes, *_other_versions("The runs", runs)))


def _read(path: Path) -> Run:
    config = read_run(path)
    rows: dict[int, list[Row]] = {}
    for row in read_rows(path / "metrics.jsonl"):
        if row["seed"] in config.seeds:
            rows.setdefault(row["seed"], []).append(row)
    return Run(path, config, read_versions(path), rows)


def _flat(config: TrainConfig) -> dict[str, Any]:
    return {f"{section}.{name}": value for section, fields in to_dict(config).items() for name, value in fields.items()}


def _map_settings(name: str) -> bool:
    return name.startswith("env.") and name not in (*_NOT_OF_A_MAP, "env.name", "env.scenario")


def _method_settings(name: str) -> bool:
    is_of_a_method = not name.startswith(_NOT_OF_A_METHOD) or name in _OF_A_METHOD
    return is_of_a_method and name not in ("system.name", "masking.name")


def _map_name(config: TrainConfig) -> str:
    return config.env.scenario if config.env.name != "smac" else f"{config.env.scenario} (smac)"


def _method_name(config: TrainConfig) -> str:
    rule = f", {config.masking.name}" if config.masking.name else ""
    return f"{label(config.system.name)}{rule}"


def _names(
    runs: Sequence[Run],
    kind: Callable[[TrainConfig], tuple[Any, ...]],
    is_told: Callable[[str], bool],
    name: Callable[[TrainConfig], str],
) -> list[str]:
    """A name for each run: that of its kind, and its settings that others of the kind do not share."""
    names = []
    for run in runs:
        alike = [_flat(other.config) for other in runs if kind(other.config) == kind(run.config)]
        told = {key: value for key, value in _flat(run.config).items() if is_told(key)}
        default = _flat(TrainConfig(env=ENV_CONFIGS[run.config.env.name]()))
        unusual = [key for key, value in told.items() if value != default[key]]
        differing = [key for key in unusual if any(other.get(key, told[key]) != told[key] for other in alike)]
        settings = [f"{key.partition('.')[2]}={one_line(told[key])}" for key in differing]
        names.append(", ".join([name(run.config), *settings]))
    return names


def _check_comparable(map_name: str, runs: Sequence[Run]) -> None:
    """What all runs of a map must share."""
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
        for name in ("run.total_env_steps", "evaluation.every_env_steps", "evaluation.num_episodes"):
            here, there = _flat(run.config)[name], _flat(first.config)[name]
            if here != there:
                fix = "extend the shorter with limae-jax resume, or " if name.startswith("run.") else ""
                raise InputError(
                    f"{where}: {map_name} has {name}={here}, in {first.path} {there}; {fix}report them apart"
                )


def _cell(map_name: str, method: str, runs: Sequence[Run], notes: list[str]) -> Cell:
    """Pools runs of equal settings; says in `notes` which seeds it leaves out."""
    config, where = runs[0].config, f"{method} on {map_name}"
    seeds: dict[int, SeedCurve] = {}
    for run in runs:
        for seed in run.config.seeds:
            rows = run.rows.get(seed, [])
            if seed in seeds:
                raise InputError(
                    f"RUN_DIR={run.path}: seed {seed} of {where} is in {seeds[seed].run_dir} too; name one of them"
                )
            if rows and rows[-1].get("is_failed"):
                notes.append(f"{where}: seed {seed} failed (its loss was not finite) and is in no number here.")
            elif not rows or rows[-1]["env_steps"] < config.run.total_env_steps:
                steps = rows[-1]["env_steps"] if rows else 0
                budget = config.run.total_env_steps
                notes.append(f"{where}: seed {seed} stands at {steps:,} of {budget:,} env steps and is left out.")
            else:
                seeds[seed] = SeedCurve(run.path, seed, *_columns(rows))
    return Cell(
        map=map_name,
        method=method,
        masking=config.masking.name,
        budget_env_steps=config.run.total_env_steps,
        every_env_steps=config.evaluation.every_env_steps,
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
    """Differences that need not change what was learned, but could."""
    notes = []
    for name in ("limae-jax", "git_commit", "jax", "device"):
        found = sorted({str(run.versions.get(name) or "not recorded") for run in runs})
        if len(found) > 1:
            notes.append(f"{who} differ in {name}: {', '.join(found)}.")
    return notes
