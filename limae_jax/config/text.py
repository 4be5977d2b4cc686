"""A run's settings as plain data: dotted names, config.yaml, and what two runs differ in."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any

import yaml

from limae_jax.checks import show
from limae_jax.config import ENV_CONFIGS, EnvConfig, TrainConfig
from limae_jax.config.stored_yaml import plain_yaml, seal, unseal
from limae_jax.errors import InputError
from limae_jax.registry import check_name

# Settings that are younger than the checksum of config.yaml. A file without one need not have them; a file with one
# may lack any, for it is whole, and has all settings of the version that wrote it.
_YOUNGER_THAN_THE_CHECKSUM = (
    "checkpoint.keep_replay",
    "metrics.wandb_entity",
    "metrics.wandb_group",
    "metrics.wandb_tags",
    "metrics.wandb_video",
    "replay.kind",
)


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
    for name, value in flat(config).items():
        if "${" in str(value):
            raise InputError(f"{name}={show(value)}: ${{...}} is not filled in here; write the value itself")


def flat(config: TrainConfig) -> dict[str, Any]:
    """Settings as one level of plain data: section.field -> value."""
    return {f"{section}.{name}": value for section, fields in to_dict(config).items() for name, value in fields.items()}
