"""Traced settings, which compiled programs take as arguments: runs that differ only in these share one program.

They change neither array shapes nor the schedule of work. Nothing here imports jax.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from limae_jax.config import TrainConfig

# The seeds and the location of a run.
SEEDS_AND_PLACE = ("run.name", "run.dir", "run.num_seeds", "run.first_seed")


def traced_names(config: TrainConfig) -> list[str]:
    """Returns the dotted names of a run's traced settings, which the classes of its sections declare."""
    sections = [getattr(config, item.name) for item in fields(config)]
    return [f"{part.section}.{name}" for part in sections if part is not None for name in part.traced]


def traced_values(config: TrainConfig) -> dict[str, float | int]:
    """Returns the values of the traced settings, by dotted name."""
    values = {}
    for name in traced_names(config):
        section, field = name.split(".")
        values[name] = getattr(getattr(config, section), field)
    return values


def with_values(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """Returns a copy of the settings with other values, which may be traced and are not checked.

    Args:
        config: checked settings.
        values: values by dotted name, as from `traced_values`.
    """
    changed = copy.copy(config)
    for name, value in values.items():
        section, field = name.split(".")
        part = copy.copy(getattr(changed, section))
        # The dataclasses are frozen; only the copies are changed.
        object.__setattr__(part, field, value)
        object.__setattr__(changed, section, part)
    return changed


def equal_but_for(one: TrainConfig, other: TrainConfig, names: Iterable[str]) -> bool:
    """Whether two runs differ at most in the named settings."""
    blank = dict.fromkeys(names)
    return with_values(one, blank) == with_values(other, blank)


def shares_program(one: TrainConfig, other: TrainConfig) -> bool:
    """Whether two runs can be trained by one compiled program, side by side from the first step on.

    They may differ in traced settings, seeds and location.
    """
    names = traced_names(one)
    if names != traced_names(other) or one.env.is_played_by_host:
        return False
    return equal_but_for(one, other, (*names, *SEEDS_AND_PLACE))
