"""`limae-jax prune`: deletes what finished runs keep only to be extended bit for bit."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from limae_jax.checkpoints.files import TEMPORARY_PREFIX, bytes_below
from limae_jax.checkpoints.prune import Superfluous, find_superfluous, give_up
from limae_jax.config import TrainConfig
from limae_jax.errors import InputError
from limae_jax.metrics.jsonl import read_rows
from limae_jax.runs.lock import locked
from limae_jax.runs.records import BEST, LAST, home_of, read_groups, runs_at_home, state_folder
from limae_jax.runs.stored import read_run
from limae_jax.sweeps.plan import Program, is_finished
from limae_jax.training.plan import REFILL
from limae_jax.training.shares import Group, share_groups

# Phases in which a finished run's rows may end; the last phase of every system is called "train".
_LEARNING = ("train", REFILL.name)


class Pruned(NamedTuple):
    """The result of pruning one place.

    Attributes:
        place: the run directory, or the home that runs of a sweep share.
        freed: bytes.
        left: remaining bytes.
        reason: why nothing was deleted; empty if the place was pruned.
    """

    place: Path
    freed: int
    left: int
    reason: str = ""


def prune_runs(run_dirs: Sequence[Path], is_dry_run: bool = False) -> Iterator[Pruned]:
    """Deletes the replay, superseded checkpoints and leftovers of killed processes from finished runs.

    Files needed to evaluate, report or extend a run (with a refill of its replay) are kept.

    Args:
        run_dirs: of the runs. Runs that share a program are pruned together, and all of them must be named.
        is_dry_run: whether to report only what would be freed.

    Yields:
        The result of each place as soon as it is pruned.

    Raises:
        InputError: one of the directories holds no run.
    """
    configs = [_placed(read_run(run_dir), run_dir) for run_dir in run_dirs]
    programs: dict[Path, list[TrainConfig]] = {}
    for config in configs:
        run_dir = Path(config.run_dir)
        programs.setdefault((home_of(run_dir) or run_dir).resolve(), []).append(config)
    for home, own in programs.items():
        place = Path(own[0].run_dir) if len(own) == 1 else Path(os.path.relpath(home))
        try:
            yield _prune(place, _program(home, own), is_dry_run)
        except InputError as error:
            yield Pruned(place, 0, bytes_below(place), str(error))


def _placed(config: TrainConfig, run_dir: Path) -> TrainConfig:
    return replace(config, run=replace(config.run, name=None, dir=str(run_dir)))


def _program(home: Path, named: Sequence[TrainConfig]) -> Program:
    """Returns the program of the runs that share `home`, in their order."""
    by_place = {Path(config.run_dir).resolve(): config for config in named}
    together = [(home / name).resolve() for name in runs_at_home(home) or ()] or list(by_place)
    absent = [run_dir for run_dir in together if run_dir not in by_place]
    if absent:
        raise InputError(f"shares its checkpoints with {len(absent)} other run(s); name {absent[0]} too, or the sweep")
    return Program(tuple(by_place[run_dir] for run_dir in together), home)


def _prune(place: Path, program: Program, is_dry_run: bool) -> Pruned:
    places = {program.home, *(Path(config.run_dir).resolve() for config in program.configs)}
    with contextlib.ExitStack() as stack:
        for folder in sorted(places):
            stack.enter_context(locked(folder))
        found = _find(program)
        freed = sum(superfluous.num_bytes for superfluous in found.values())
        left = sum(map(bytes_below, places)) - freed
        if not is_dry_run:
            for folder, superfluous in found.items():
                give_up(folder, superfluous)
    return Pruned(place, freed, left)


def _find(program: Program) -> dict[Path, Superfluous]:
    """Returns what can be deleted, by folder.

    Raises:
        InputError: a run is not finished, or still needs its replay.
    """
    last = [{row["seed"]: row for row in read_rows(_metrics(config))} for config in program.configs]
    for config, rows in zip(program.configs, last, strict=True):
        if not is_finished(config):
            steps = min((row["env_steps"] for row in rows.values()), default=0)
            raise InputError(f"is not finished ({steps:,} of {config.run.total_env_steps:,} env steps); resume it")
    found: dict[Path, Superfluous] = {}
    for group in share_groups(program.configs, _groups(program.home), program.home):
        own = [last[run][int(seed)] for run, seed in zip(group.runs, group.seeds, strict=False)]
        found |= _find_in_group(group, own[0]["iteration"], all(row["phase"] in _LEARNING for row in own))
    return found


def _metrics(config: TrainConfig) -> Path:
    return Path(config.run_dir) / "metrics.jsonl"


def _groups(home: Path) -> list[np.ndarray]:
    return [np.asarray(group, np.int32) for group in read_groups(home)]


def _find_in_group(group: Group, step: int, has_learned: bool) -> dict[Path, Superfluous]:
    state = state_folder(group.directory)
    found = {state: find_superfluous(state, step)}
    if found[state].manifests and not has_learned:
        raise InputError("ended before its last phase, which needs this replay; extend the run or delete it")
    for share in group.shares:
        for folder in (share.directory / BEST, share.directory / LAST):
            found[folder] = Superfluous([], sorted(folder.glob(f"{TEMPORARY_PREFIX}*")))
    return found
