"""A run's settings as plain data: dotted names, config.yaml, and what two runs differ in."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from limae_jax.checks import one_line, show, user_path
from limae_jax.config import ENV_CONFIGS, EnvConfig, TrainConfig
from limae_jax.environments.fitting import check_fit
from limae_jax.errors import InputError
from limae_jax.registry import check_name
from limae_jax.run_records import VERSIONS_FILE
from limae_jax.stored_yaml import plain_yaml, seal, unseal

CONFIG_FILE = "config.yaml"
ERROR_FILE = "error.txt"
# Keep other processes out of a directory; the second one where the file system has no locks.
LOCK_FILE, SOFT_LOCK_FILE = "run.lock", "run.softlock"
# What a run may leave that failed, or was killed, before its settings were written.
_OF_A_FAILED_START = (ERROR_FILE, f"{CONFIG_FILE}.tmp", LOCK_FILE, SOFT_LOCK_FILE)

# How a run that has none gets another place.
_ELSEWHERE = "run.name or run.dir"

# Where a run lives is not part of what it does, so a run directory may be moved.
_LOCATION = ("run.name", "run.dir")

# What changes no result: a run that goes on has it as it is asked for now. A name that ends in a dot is a section.
_CHANGES_NO_RESULT = (
    "checkpoint.every_s",
    "checkpoint.keep_replay",
    "metrics.",
    "run.compilation_cache",
    "run.max_memory_gib",
)

# Settings that are younger than the checksum of config.yaml. A file without one need not have them; a file with one
# may lack any, for it is whole, and has all settings of the version that wrote it.
_YOUNGER_THAN_THE_CHECKSUM = (
    "checkpoint.keep_replay",
    "metrics.wandb_entity",
    "metrics.wandb_group",
    "metrics.wandb_tags",
    "metrics.wandb_video",
)
# Far more than all settings take.
_LARGEST_FILE = 2**20


def to_dict(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """Settings as nested plain data: section -> field -> value."""
    data = dataclasses.asdict(config)
    return {
        section: {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
        for section, fields in data.items()
    }


def from_dict(data: Any) -> TrainConfig:
    """Checks nested plain data and builds the settings from it; what is left out keeps its default.

    Raises:
        InputError: an unknown setting, a wrong type, or values that cannot go together.
    """
    data = _mapping("settings", data)
    family = _mapping("env", data.get("env", {})).get("name", EnvConfig.name)
    classes = section_classes(family)
    known = dotted_names(family)
    for section, fields in data.items():
        if section not in classes:
            raise unknown_setting(str(section), fields, known)
        for name, value in _mapping(section, fields).items():
            if f"{section}.{name}" not in known:
                raise unknown_setting(f"{section}.{name}", value, known)
    return TrainConfig(**{section: make(**data.get(section, {})) for section, make in classes.items()})


def section_classes(family: str) -> dict[str, Any]:
    """Section -> dataclass, for an environment family."""
    classes = {item.name: item.default_factory for item in dataclasses.fields(TrainConfig)}
    check_name("env", str(family), ENV_CONFIGS)
    return {**classes, "env": ENV_CONFIGS[str(family)]}


def dotted_names(family: str) -> list[str]:
    """Every setting as section.field, for an environment family."""
    classes = section_classes(family).items()
    return [f"{section}.{item.name}" for section, make in classes for item in dataclasses.fields(make)]


def unknown_setting(name: str, value: Any, known: Iterable[str]) -> InputError:
    """The error for a setting that does not exist, with a guess at the one meant."""
    elsewhere = [family for family in ENV_CONFIGS if name in dotted_names(family)]
    if elsewhere:
        return InputError(f"{name}={show(value)}: no such setting here; only env={' or '.join(elsewhere)} has it")
    meant = _closest(name, list(known))
    hint = f"did you mean {meant}?" if meant else "`limae-jax config` shows all settings"
    return InputError(f"{name}={show(value)}: no such setting; {hint}")


def _closest(name: str, known: list[str]) -> str | None:
    by_field = {candidate.rpartition(".")[2]: candidate for candidate in known}
    field = name.rpartition(".")[2]
    if field in by_field:
        return by_field[field]
    whole = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    part = difflib.get_close_matches(field, by_field, n=1, cutoff=0.7)
    return whole[0] if whole else by_field[part[0]] if part else None


def _mapping(name: str, value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{name}={show(value)}: must be a group of settings")
    return value


def to_yaml(config: TrainConfig) -> str:
    """Settings as YAML. `from_yaml` gives back an equal object."""
    # Not as Unicode: YAML reads some characters, such as U+0085, as line breaks.
    return yaml.safe_dump(read_settings(config), sort_keys=False)


def read_settings(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """The settings that the run reads, as nested plain data: section -> field -> value."""
    # What is not read is left out, so that a run stays readable when defaults change that do not concern it.
    unread = config.unread_settings
    read = {
        section: {name: value for name, value in fields.items() if f"{section}.{name}" not in unread}
        for section, fields in to_dict(config).items()
    }
    return {section: fields for section, fields in read.items() if fields}


def from_yaml(text: str) -> TrainConfig:
    """Reads what `to_yaml` wrote; what is left out keeps its default.

    Raises:
        InputError: it is no YAML, or `from_dict` refuses it.
    """
    return from_dict(plain_yaml(text))


def to_file(config: TrainConfig) -> str:
    """The text of config.yaml: `to_yaml` with a checksum."""
    return seal(to_yaml(config))


def from_file(text: str) -> TrainConfig:
    """Reads what `to_file` wrote, or what `to_yaml` did before there was a checksum.

    Raises:
        InputError: it was altered or cut off, a setting is missing, or a value would have to be looked up.
    """
    version, data = unseal(text)
    config = from_dict(data)
    check_is_data(config)
    if version == 1:
        _check_complete(config, data)
    return config


def _check_complete(config: TrainConfig, data: dict[str, dict[str, Any]]) -> None:
    written = [f"{section}.{name}" for section, fields in read_settings(config).items() for name in fields]
    found = {f"{section}.{name}" for section, fields in data.items() for name in fields}
    missing = [name for name in written if name not in found and name not in _YOUNGER_THAN_THE_CHECKSUM]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{missing[0]}{more}: is missing; put the file back from a copy")


def check_is_data(config: TrainConfig) -> None:
    """Checks that no setting asks for another value: stored settings are data, whoever wrote them.

    Raises:
        InputError: one has an interpolation, such as ${oc.env:HOME}.
    """
    for name, value in _flat(config).items():
        if "${" in str(value):
            raise InputError(f"{name}={show(value)}: ${{...}} is not filled in here; write the value itself")


def read_run(run_dir: Path) -> TrainConfig:
    """Settings of a run directory.

    Raises:
        InputError: there is no such directory, it holds no run, or its config.yaml is damaged.
    """
    run_dir = Path(user_path("RUN_DIR", run_dir))
    if not run_dir.is_dir():
        raise InputError(f"RUN_DIR={run_dir}: no such directory{_nearby_runs(run_dir)}")
    path = run_dir / CONFIG_FILE
    if not path.is_file():
        raise InputError(f"RUN_DIR={run_dir}: holds no {CONFIG_FILE}, so it is no run directory{_nearby_runs(run_dir)}")
    try:
        return from_file(_read_text(path))
    except (InputError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {one_line(error)}") from None


def format_of(run_dir: Path) -> int | None:
    """The format of config.yaml, sound as `read_run` found it; None before there is one."""
    path = run_dir / CONFIG_FILE
    return unseal(_read_text(path))[0] if path.is_file() else None


def _read_text(path: Path) -> str:
    if path.stat().st_size > _LARGEST_FILE:
        raise InputError("is too large for settings; put the file back from a copy")
    return path.read_text(encoding="utf-8")


def sweep_runs(directory: Path) -> list[Path]:
    """The run directories of a sweep, `directory`/<cell>/seeds_<first>_to_<last>, in order; empty if it is no sweep."""
    return [path.parent for path in sorted(directory.glob(f"*/seeds_*/{CONFIG_FILE}"))]


def expand_sweeps(directories: Iterable[Path]) -> list[Path]:
    """Run directories as they are, and those of a sweep, or of a cell of one, in its place."""
    expanded: list[Path] = []
    for directory in directories:
        directory = Path(user_path("RUN_DIR", directory))
        is_run = (directory / CONFIG_FILE).is_file()
        of_cell = [path.parent for path in sorted(directory.glob(f"seeds_*/{CONFIG_FILE}"))]
        expanded += [directory] if is_run else of_cell or sweep_runs(directory) or [directory]
    return expanded


def _nearby_runs(run_dir: Path) -> str:
    if of_sweep := sweep_runs(run_dir):
        return f"; it is a sweep, choose one of its {len(of_sweep)} runs, such as {of_sweep[0]}"
    folders = (run_dir, run_dir.parent, Path("runs"))
    runs = sorted({str(path.parent) for folder in folders for path in folder.glob(f"*/{CONFIG_FILE}")})
    close = difflib.get_close_matches(str(run_dir), runs, n=3, cutoff=0.3)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Settings that differ, each as `section.field: old -> new`."""
    return [f"{name}: {before} -> {after}" for name, before, after in changes(old, new)]


def check_continuation(stored: TrainConfig, wanted: TrainConfig, run_dir: Path, elsewhere: str = _ELSEWHERE) -> None:
    """Checks that a run can go on under new settings: it may move, be extended, or change what changes no result.

    Args:
        stored, wanted: settings of the run, and those asked for.
        run_dir: of the run.
        elsewhere: the setting that puts a new run into another place.

    Raises:
        InputError: another setting differs, or the run would be shorter.
    """
    others = [change for change in changes(stored, wanted) if not may_change(change[0])]
    if stored.run.total_env_steps < wanted.run.total_env_steps:
        others = [change for change in others if change[0] != "run.total_env_steps"]
    if others:
        listed = ", ".join(f"{name}: {before} -> {after}" for name, before, after in others)
        fix = f"only a larger run.total_env_steps, and what changes no result, can change; choose another {elsewhere}"
        raise InputError(f"RUN_DIR={run_dir}: holds a run with other settings ({listed}); {fix} for a new run")


def may_change(name: str) -> bool:
    """Whether a setting says only where a run lives, or changes no result."""
    return name in (*_LOCATION, *_CHANGES_NO_RESULT) or f"{name.partition('.')[0]}." in _CHANGES_NO_RESULT


def check_stays(overrides: Iterable[str]) -> None:
    """Checks that a run is resumed where it is.

    Raises:
        InputError: one of the overrides is of its place.
    """
    for text in overrides:
        if text.partition("=")[0].strip() in _LOCATION:
            raise InputError(f"{show(text)}: a run is resumed where it is; leave this out, or move its folder first")


def check_run_dir(config: TrainConfig, elsewhere: str = _ELSEWHERE) -> None:
    """Checks that a run may use its directory: there is nothing yet, or the same run to continue.

    Args:
        config: of the run.
        elsewhere: the setting that puts it into another place; a sweep has chosen this one itself, and checked it.

    Raises:
        InputError: another run or something else is there, or nothing can be written there.
    """
    check_is_data(config)
    run_dir = Path(config.run_dir)
    if (run_dir / CONFIG_FILE).is_file():
        check_continuation(read_run(run_dir), config, run_dir, elsewhere)
    elif run_dir.exists() and not (run_dir.is_dir() and is_unused(run_dir)):
        raise InputError(f"run.dir={run_dir}: holds something else than a run; choose another {elsewhere}")
    elif elsewhere == _ELSEWHERE:
        check_not_inside("run.dir", run_dir, elsewhere)
    # Not by making it: nothing is written before all is checked.
    place = next(path for path in (run_dir.absolute(), *run_dir.absolute().parents) if path.exists())
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        raise InputError(f"run.dir={run_dir}: cannot be made, {place} is no folder to write in; choose another")


def check_not_inside(name: str, place: Path, elsewhere: str) -> None:
    """Checks that a new run, or sweep, is not put among the files of a run or the runs of a sweep.

    Raises:
        InputError: it would be; the message names the setting of the place, and the one that chooses another.
    """
    around = Path(os.path.realpath(place)).parents
    # Anybody may have a config.yaml, in a home folder for one.
    runs = [folder for folder in around if (folder / CONFIG_FILE).is_file() and (folder / VERSIONS_FILE).is_file()]
    sweeps = [folder for folder in around[:2] if sweep_runs(folder)]
    for what, folder in [*(("run", run) for run in runs), *(("sweep", sweep) for sweep in sweeps)]:
        raise InputError(f"{name}={place}: lies in {folder}, which holds a {what}; choose another {elsewhere}")


def is_unused(folder: Path) -> bool:
    """Whether a folder holds nothing but what a run leaves that never began."""
    # filelock puts a stale lock aside under a longer name.
    return all(
        path.name in _OF_A_FAILED_START or path.name.startswith(f"{SOFT_LOCK_FILE}.") for path in folder.iterdir()
    )


def check_evaluation(stored: TrainConfig, wanted: TrainConfig) -> None:
    """Checks that a trained team can be evaluated under new settings, as far as can be told without the game.

    Raises:
        InputError: more changed than the game and its evaluation, or the team does not fit the game.
    """
    changed = [line for line in differences(stored, wanted) if not line.startswith(("env.", "evaluation."))]
    if changed:
        raise InputError(f"{changed[0]}: an evaluation can change env.* and evaluation.* only")
    check_fit(stored.env, wanted.env)


def changes(old: TrainConfig, new: TrainConfig) -> list[tuple[str, str, str]]:
    """Settings that differ: section.field, the old value, the new one, as one would type them."""
    # What only one of them has comes with another env.name or system.name, which says enough.
    before, after = _flat(old), _flat(new)
    changed = [name for name in before if name in after and before[name] != after[name]]
    return [(name, one_line(before[name]), one_line(after[name])) for name in changed]


def _flat(config: TrainConfig) -> dict[str, Any]:
    return {f"{section}.{name}": value for section, fields in to_dict(config).items() for name, value in fields.items()}
