"""A run's settings as plain data: dotted names, config.yaml, and what two runs differ in."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import yaml

from limae_jax.checks import show
from limae_jax.config import TrainConfig
from limae_jax.config.migration import migrated, names_in
from limae_jax.config.plugins import check_plugins
from limae_jax.config.sections import chosen_in, dotted_names, unknown_setting
from limae_jax.config.stored_yaml import plain_yaml, seal, unseal
from limae_jax.errors import InputError

# Settings that are younger than the checksum of config.yaml. A file without one need not have them; a file with one
# may lack any, for it is whole, and has all settings of the version that wrote it.
_YOUNGER_THAN_THE_CHECKSUM = (
    "checkpoint.keep_replay",
    "mae.freeze_after_pretraining",
    "metrics.wandb_entity",
    "metrics.wandb_group",
    "metrics.wandb_tags",
    "metrics.wandb_video",
    "replay.kind",
    "run.plugins",
)


def to_dict(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """Settings as nested plain data: section -> field -> value, of the sections that the run reads."""
    data = dataclasses.asdict(config)
    return {
        section: {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
        for section, fields in data.items()
        if fields is not None
    }


def from_dict(data: Any) -> TrainConfig:
    """Checks nested plain data and builds the settings from it; what is left out keeps its default.

    Raises:
        InputError: an unknown setting, a wrong type, or values that cannot go together.
    """
    for section, fields in _mapping("settings", data).items():
        _mapping(section, fields)
    check_plugins(data.get("run", {}).get("plugins") or ())
    choices = chosen_in(data)
    classes, known = choices.classes(), dotted_names(choices)
    for section, fields in data.items():
        if section not in classes and not fields:
            raise unknown_setting(str(section), fields, choices)
        for name, value in fields.items():
            if f"{section}.{name}" not in known:
                raise unknown_setting(f"{section}.{name}", value, choices)
    names = choices.names()
    made = {
        section: make(**({"name": names[section]} if section in names else {}) | data.get(section, {}))
        for section, make in classes.items()
    }
    return TrainConfig(**cast(dict[str, Any], made))


def _mapping(name: str, value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{name}={show(value)}: must be a section of settings")
    return value


def to_yaml(config: TrainConfig) -> str:
    """Settings as YAML. `from_yaml` gives back an equal object."""
    # Not as Unicode: YAML reads some characters, such as U+0085, as line breaks.
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def from_yaml(text: str) -> TrainConfig:
    """Reads what `to_yaml` wrote, in this version or before; what is left out keeps its default.

    Raises:
        InputError: it is no YAML, or `from_dict` refuses it.
    """
    return from_dict(migrated(plain_yaml(text), 1))


def to_file(config: TrainConfig) -> str:
    """The text of config.yaml: `to_yaml` with a checksum."""
    return seal(to_yaml(config))


def from_file(text: str) -> TrainConfig:
    """Reads what `to_file` wrote, or what `to_yaml` did before there was a checksum.

    Raises:
        InputError: it was altered or cut off, a setting is missing, or a value would have to be looked up.
    """
    version, data = unseal(text)
    config = from_dict(migrated(data, version))
    check_is_data(config)
    if version == 1:
        _check_complete(config, names_in(data))
    return config


def _check_complete(config: TrainConfig, found: set[str]) -> None:
    written = [f"{section}.{name}" for section, fields in to_dict(config).items() for name in fields]
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
