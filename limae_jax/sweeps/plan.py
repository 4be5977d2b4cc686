"""Plans a sweep: which runs exist already, and which can share a compiled program."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from limae_jax.checkpoints.params import read_host
from limae_jax.config import TrainConfig
from limae_jax.config.changes import changes, check_continuation, may_change
from limae_jax.config.traced import SEEDS_AND_PLACE, shares_program
from limae_jax.errors import InputError
from limae_jax.metrics.jsonl import read_rows
from limae_jax.metrics.schema import Row
from limae_jax.runs.directory import group_directory
from limae_jax.runs.lock import ElsewhereError
from limae_jax.runs.records import BEST, LAST, SHARED_FILE, home_of, read_groups, runs_at_home
from limae_jax.runs.stored import CONFIG_FILE, check_not_inside, check_run_dir, is_unused, read_run, sweep_runs
from limae_jax.sweeps.grid import Sweep

# The setting that chooses another place for a sweep.
_ELSEWHERE = "sweep.dir"
_WHERE_AND_HOW_LONG = (*SEEDS_AND_PLACE, "run.total_env_steps")


class Program(NamedTuple):
    """Runs that one compiled program trains together.

    Attributes:
        configs: of the runs, with `run.dir` set.
        home: directory of the files that the runs share; for a single run, its run directory.
    """

    configs: tuple[TrainConfig, ...]
    home: Path

    @property
    def seeds(self) -> list[int]:
        """The seeds of all runs, in the order of `configs`."""
        return [seed for config in self.configs for seed in config.seeds]


def plan_programs(sweep: Sweep) -> list[Program]:
    """Groups the runs of a sweep into programs; writes nothing.

    Seeds of a cell that the sweep's directory already holds, under any name, continue in their run and its program; new
    seeds get a run directory of their own, `DIR/<cell>/seeds_<first>_to_<last>`.

    Raises:
        InputError: a folder holds something other than the expected run.
    """
    directory = Path(str(sweep.settings.dir))
    _check_directory(directory)
    stored = [(run_dir, read_run(run_dir)) for run_dir in sweep_runs(directory)]
    homes = _recorded_homes(directory)
    begun: dict[Path, list[TrainConfig]] = {}
    fresh: list[list[TrainConfig]] = []
    for cell in sweep.cells:
        folder, missing = directory / cell.name, set(cell.config.seeds)
        for run_dir, old in stored:
            if run_dir.parent != folder and not _is_of_cell(old, cell.config):
                continue
            config = _at(cell.config, run_dir, old.seeds)
            longer = _at(old, run_dir, old.seeds)
            if old.run.total_env_steps > config.run.total_env_steps and _has_all_steps(longer):
                # Extended outside the sweep: it already has more steps than requested.
                config = _with_total(config, old.run.total_env_steps)
            check_continuation(old, config, run_dir, _ELSEWHERE)
            if missing & set(old.seeds):
                home = homes.get(run_dir.resolve()) or home_of(run_dir) or run_dir
                begun.setdefault(home.resolve(), []).append(config)
                missing -= set(old.seeds)
        for seeds in _stretches(sorted(missing)):
            config = _at(cell.config, folder / f"seeds_{seeds[0]}_to_{seeds[-1]}", seeds)
            check_run_dir(config, _ELSEWHERE)
            _add_where_it_fits(fresh, config)
    return [_begun(home, configs) for home, configs in begun.items()] + [_fresh(directory, one) for one in fresh]


def _check_directory(directory: Path) -> None:
    if (directory / CONFIG_FILE).is_file():
        raise InputError(f"sweep.dir={directory}: holds a run; choose another {_ELSEWHERE}")
    if not sweep_runs(directory):
        check_not_inside("sweep.dir", directory, _ELSEWHERE)


def _is_of_cell(stored: TrainConfig, cell: TrainConfig) -> bool:
    """Whether a run differs from a cell only in seeds, length, place, and settings that change no result."""
    return all(may_change(name) or name in _WHERE_AND_HOW_LONG for name, _, _ in changes(stored, cell))


def _recorded_homes(directory: Path) -> dict[Path, Path]:
    """Returns the home of each run that shares a program; the home's own file names all, as it is written first."""
    records = directory.glob(f"programs/*/{SHARED_FILE}")
    return {run_dir: record.parent for record in records for run_dir in _runs_of(record.parent)}


def _runs_of(home: Path) -> list[Path]:
    """Returns the directories of the runs that share `home`; empty if it is the directory of a single run."""
    return [(home / name).resolve() for name in runs_at_home(home) or ()]


def check_plan(program: Program) -> None:
    """Checks that a program's runs, which the caller has locked, have not changed since the program was planned.

    Raises:
        ElsewhereError: another process started one of them in another program, or with other settings.
    """
    here = _runs_of(program.home)
    for config in program.configs:
        run_dir = Path(config.run_dir)
        try:
            check_run_dir(config, _ELSEWHERE)
        except InputError as error:  # the check passed when the sweep was planned
            raise ElsewhereError(str(error)) from None
        planned = program.home.resolve() if len(program.configs) > 1 else None
        found = (home_of(run_dir) or run_dir).resolve()
        is_begun = (run_dir / CONFIG_FILE).is_file() and run_dir.resolve() not in here
        if is_begun and found != (planned or run_dir.resolve()):
            raise ElsewhereError(f"RUN_DIR={run_dir}: another process has started it; give the sweep's command again")


def _add_where_it_fits(programs: list[list[TrainConfig]], config: TrainConfig) -> None:
    for configs in programs:
        if shares_program(configs[0], config):
            configs.append(config)
            return
    programs.append([config])


def _at(config: TrainConfig, run_dir: Path, seeds: Sequence[int]) -> TrainConfig:
    own = replace(config.run, name=None, dir=str(run_dir), first_seed=seeds[0], num_seeds=len(seeds))
    return replace(config, run=own)


def _with_total(config: TrainConfig, total_env_steps: int) -> TrainConfig:
    return replace(config, run=replace(config.run, total_env_steps=total_env_steps))


def _stretches(seeds: Sequence[int]) -> Iterable[Sequence[int]]:
    """Splits ascending seeds into stretches of consecutive ones."""
    ends = [index for index in range(1, len(seeds)) if seeds[index] != seeds[index - 1] + 1]
    return (seeds[begin:end] for begin, end in zip([0, *ends], [*ends, len(seeds)], strict=True) if begin < end)


def _fresh(directory: Path, configs: Sequence[TrainConfig]) -> Program:
    if len(configs) == 1:
        return Program(tuple(configs), Path(configs[0].run_dir))
    names = "\n".join(str(Path(config.run_dir).relative_to(directory)) for config in configs)
    home = directory / "programs" / hashlib.sha256(names.encode()).hexdigest()[:12]
    if home.is_dir() and not is_unused(home):
        raise InputError(f"sweep.dir={directory}: {home} belongs to runs that are gone; put them back or remove it too")
    return Program(tuple(configs), home)


def _begun(home: Path, configs: Sequence[TrainConfig]) -> Program:
    """Returns a started program; all its runs continue together, even those not requested."""
    run_dirs = _runs_of(home)
    if not run_dirs:
        return Program(tuple(configs), Path(configs[0].run_dir))
    gone = [run_dir for run_dir in run_dirs if not (run_dir / CONFIG_FILE).is_file()]
    if gone:
        mate = configs[0].run_dir
        raise InputError(f"RUN_DIR={gone[0]}: is gone, and {mate} was trained together with it; put it back")
    asked = {Path(config.run_dir).resolve(): config for config in configs}
    total = max(config.run.total_env_steps for config in configs)
    together = [asked.get(run_dir) or _at(old := read_run(run_dir), run_dir, old.seeds) for run_dir in run_dirs]
    return Program(tuple(_with_total(config, total) for config in together), home)


def is_finished(config: TrainConfig) -> bool:
    """Whether every seed of a run has all its environment steps or failed, and its parameters are saved undamaged."""
    if not _has_all_steps(config):
        return False
    run_dir = Path(config.run_dir)
    rows = _last_rows(run_dir)
    for group in read_groups(run_dir, config.seeds):
        own = [rows[seed] for seed in group if seed in config.seeds]
        if not _are_saved(group_directory(run_dir, np.asarray(group)), own):
            return False
    return True


def _has_all_steps(config: TrainConfig) -> bool:
    rows, total = _last_rows(Path(config.run_dir)), config.run.total_env_steps
    return all(seed in rows and (rows[seed]["is_failed"] or rows[seed]["env_steps"] >= total) for seed in config.seeds)


def _last_rows(run_dir: Path) -> dict[int, Row]:
    return {row["seed"]: row for row in read_rows(run_dir / "metrics.jsonl")}


def _are_saved(directory: Path, rows: Sequence[Row]) -> bool:
    """Whether the parameters of a group are saved, `last` at the iterations of the seeds' last rows."""
    try:
        last, best = read_host(directory / LAST), read_host(directory / BEST)
    except InputError:  # continuing the run saves them again, or reports the error
        return False
    saved = (last or {}).get("iteration") or []
    is_last_there = isinstance(saved, list) and all(row["iteration"] in saved for row in rows)
    # Seeds that failed early have no best parameters.
    return is_last_there and (best is not None or all(row["is_failed"] for row in rows))
