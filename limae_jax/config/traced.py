"""Settings that compiled programs take as arguments: runs that differ in nothing else share one program.

They change neither the shape of an array nor which work is done when. Nothing here imports jax.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from limae_jax.config import TrainConfig

_OF_PRIORITIES = (
    "replay.priority_exponent",
    "replay.importance_exponent",
    "replay.importance_anneal_env_steps",
    "replay.recency_decay",
)
# By the dotted names of the settings.
TRACED = (
    "system.gamma",
    "system.td_lambda",
    "system.learning_rate",
    "system.max_grad_norm",
    "system.reward_scale",
    "system.target_update_env_steps",
    "system.epsilon_start",
    "system.epsilon_end",
    "system.epsilon_decay_env_steps",
    "mae.learning_rate",
    "mae.max_grad_norm",
    "mae.loss_weight",
    "masking.probability",
    "masking.tolerance",
    "masking.alpha",
    "masking.time_constant_steps",
    *_OF_PRIORITIES,
)

# Which seeds a run has and where it lives.
SEEDS_AND_PLACE = ("run.name", "run.dir", "run.num_seeds", "run.first_seed")


def traced_values(config: TrainConfig) -> dict[str, float | int]:
    """The values of the traced settings, by name; of a replay's priorities only where it has some."""
    values = {}
    has_priorities = config.replay.kind == "prioritised"
    for name in (name for name in TRACED if has_priorities or name not in _OF_PRIORITIES):
        section, field = name.split(".")
        values[name] = getattr(getattr(config, section), field)
    return values


def with_values(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """A copy of the settings with other values, which may be traced and are not checked.

    Args:
        config: checked settings.
        values: by name, as of `traced_values`.
    """
    changed = copy.copy(config)
    for name, value in values.items():
        section, field = name.split(".")
        part = copy.copy(getattr(changed, section))
        # Frozen, and rightly so: only the copy is changed.
        object.__setattr__(part, field, value)
        object.__setattr__(changed, section, part)
    return changed


def equal_but_for(one: TrainConfig, other: TrainConfig, names: Iterable[str]) -> bool:
    """Whether two runs differ in nothing else than the settings named."""
    blank = dict.fromkeys(names)
    return with_values(one, blank) == with_values(other, blank)


def shares_program(one: TrainConfig, other: TrainConfig) -> bool:
    """Whether two runs can be trained by one compiled program, side by side from the first step on.

    They may differ in traced settings, in their seeds and in where they live.
    """
    return equal_but_for(one, other, (*TRACED, *SEEDS_AND_PLACE)) and not one.env.is_played_by_host
