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

CONFIG_FILE = "config.yaml"
ERROR_FILE = "error.txt"
# What a run may leave that failed, or was killed, before its settings were written.
_OF_A_FAILED_START = (ERROR_FILE, f"{CONFIG_FILE}.tmp")

# Where a run lives is not part of what it does, so a run directory may be moved.
_LOCATION = ("run.name", "run.dir")


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
    """The text of config.yaml. `from_yaml` gives back an equal object."""
    # What is not read is left out, so that a run stays readable when defaults change that do not concern it.
    unread = config.unread_settings
    read = {
        section: {name: value for name, value in fields.items() if f"{section}.{name}" not in unread}
        for section, fields in to_dict(config).items()
    }
    sections = {section: fields for section, fields in read.items() if fields}
    # Not as Unicode: YAML reads some characters, such as U+0085, as line breaks.
    return yaml.safe_dump(sections, sort_keys=False)


def from_yaml(text: str) -> TrainConfig:
    """Reads what `to_yaml` wrote.

    Raises:
        InputError: it is no YAML, or `from_dict` refuses it.
    """
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{CONFIG_FILE}: no valid YAML: {one_line(error)}") from None
    return from_dict(data)


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
        return from_yaml(path.read_text(encoding="utf-8"))
    except (InputError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {one_line(error)}") from None


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
    return [f"{name}: {before} -> {after}" for name, before, after in _changes(old, new)]


def check_continuation(stored: TrainConfig, wanted: TrainConfig, run_dir: Path) -> None:
    """Checks that a run can go on under new settings: it may move or be extended, nothing else.

    Raises:
        InputError: another setting differs, or the run would be shorter.
    """
    changes = [change for change in _changes(stored, wanted) if change[0] not in _LOCATION]
    if stored.run.total_env_steps < wanted.run.total_env_steps:
        changes = [change for change in changes if change[0] != "run.total_env_steps"]
    if changes:
        listed = ", ".join(f"{name}: {before} -> {after}" for name, before, after in changes)
        fix = "only a larger run.total_env_steps can change; choose another run.name for a new run"
        raise InputError(f"RUN_DIR={run_dir}: holds a run with other settings ({listed}); {fix}")


def check_stays(overrides: Iterable[str]) -> None:
    """Checks that a run is resumed where it is.

    Raises:
        InputError: one of the overrides is of its place.
    """
    for text in overrides:
        if text.partition("=")[0].strip() in _LOCATION:
            raise InputError(f"{show(text)}: a run is resumed where it is; leave this out, or move its folder first")


def check_run_dir(config: TrainConfig) -> None:
    """Checks that a run may use its directory: there is nothing yet, or the same run to continue.

    Raises:
        InputError: another run or something else is there, or nothing can be written there.
    """
    run_dir = Path(config.run_dir)
    if (run_dir / CONFIG_FILE).is_file():
        check_continuation(read_run(run_dir), config, run_dir)
    elif run_dir.exists() and not (run_dir.is_dir() and _is_unused(run_dir)):
        raise InputError(f"run.dir={run_dir}: holds something else than a run; choose another run.name or run.dir")
    # Not by making it: nothing is written before all is checked.
    place = next(path for path in (run_dir.absolute(), *run_dir.absolute().parents) if path.exists())
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        raise InputError(f"run.dir={run_dir}: cannot be made, {place} is no folder to write in; choose another")


def _is_unused(folder: Path) -> bool:
    return all(path.name in _OF_A_FAILED_START for path in folder.iterdir())


def check_evaluation(stored: TrainConfig, wanted: TrainConfig) -> None:
    """Checks that a trained team can be evaluated under new settings, as far as can be told without the game.

    Raises:
        InputError: more changed than the game and its evaluation, or the team does not fit the game.
    """
    changed = [line for line in differences(stored, wanted) if not line.startswith(("env.", "evaluation."))]
    if changed:
        raise InputError(f"{changed[0]}: an evaluation can change env.* and evaluation.* only")
    check_fit(stored.env, wanted.env)


def _changes(old: TrainConfig, new: TrainConfig) -> list[tuple[str, str, str]]:
    # What only one of them has comes with another env.name or system.name, which says enough.
    before, after = _flat(old), _flat(new)
    changed = [name for name in before if name in after and before[name] != after[name]]
    return [(name, one_line(before[name]), one_line(after[name])) for name in changed]


def _flat(config: TrainConfig) -> dict[str, Any]:
    return {f"{section}.{name}": value for section, fields in to_dict(config).items() for name, value in fields.items()}
