"""Conversion of a run's settings to and from plain data, dotted names and config.yaml."""

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

# Settings that are newer than the checksum of config.yaml. A file without a checksum need not have them; a file with
# one may lack any setting, because it is known to be complete for the version that wrote it.
_YOUNGER_THAN_THE_CHECKSUM = (
    "system.average_env_steps",
    "checkpoint.keep_replay",
    "mae.freeze_after_pretraining",
    "mae.training",
    "masking.chooses",
    "masking.score",
    "metrics.wandb_entity",
    "metrics.wandb_group",
    "metrics.wandb_tags",
    "metrics.wandb_video",
    "replay.kind",
    "run.plugins",
)


def to_dict(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """Returns the settings as nested plain data: section -> field -> value, for the sections that the run reads."""
    data = dataclasses.asdict(config)
    return {
        section: {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
        for section, fields in data.items()
        if fields is not None
    }


def from_dict(data: Any) -> TrainConfig:
    """Checks nested plain data and builds the settings from it; missing settings keep their defaults.

    Raises:
        InputError: an unknown setting, a wrong type, or values that do not fit together.
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
    """Returns the settings as YAML; `from_yaml` returns an equal object."""
    # In ASCII: YAML reads some Unicode characters, such as U+0085, as line breaks.
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def from_yaml(text: str) -> TrainConfig:
    """Reads the output of `to_yaml` from this or an older version; missing settings keep their defaults.

    Raises:
        InputError: the text is not YAML, or `from_dict` refuses it.
    """
    return from_dict(migrated(plain_yaml(text), 1))


def to_file(config: TrainConfig) -> str:
    """Returns the text of config.yaml: `to_yaml` with a checksum."""
    return seal(to_yaml(config))


def from_file(text: str) -> TrainConfig:
    """Reads the output of `to_file`, or of `to_yaml` from versions without a checksum.

    Raises:
        InputError: the text was altered or cut off, a setting is missing, or a value is an interpolation.
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
    """Checks that no setting is an interpolation: stored settings are only data, whoever wrote them.

    Raises:
        InputError: a setting has an interpolation, such as ${oc.env:HOME}.
    """
    for name, value in flat(config).items():
        if "${" in str(value):
            raise InputError(f"{name}={show(value)}: ${{...}} is not resolved here; write the value itself")


def flat(config: TrainConfig) -> dict[str, Any]:
    """Returns the settings as flat plain data: section.field -> value."""
    return {f"{section}.{name}": value for section, fields in to_dict(config).items() for name, value in fields.items()}
