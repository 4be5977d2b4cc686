"""When and how a target copy of parameters follows the online ones."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from limae_jax.config import ValueBasedConfig
from limae_jax.types import Counters, PyTree

TargetRule = Callable[[PyTree, PyTree, Counters, Counters, ValueBasedConfig], PyTree]


def hard(online: PyTree, target: PyTree, before: Counters, after: Counters, config: ValueBasedConfig) -> PyTree:
    """Copies whenever another `target_update_env_steps` environment steps have passed (Mnih et al. 2015)."""
    period = config.target_update_env_steps
    is_due = after.env_steps // period > before.env_steps // period
    return jax.tree.map(lambda new, old: jnp.where(is_due, new, old), online, target)


def never(online: PyTree, target: PyTree, before: Counters, after: Counters, config: ValueBasedConfig) -> PyTree:
    """Stays as it was initialised."""
    return target


TARGET_RULES: dict[str, TargetRule] = {"hard": hard, "never": never}
