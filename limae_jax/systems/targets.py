"""Update rules of target parameters, and the average of the parameters for evaluation."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from limae_jax.config import ValueBasedConfig
from limae_jax.types import Counters, PyTree

TargetRule = Callable[[PyTree, PyTree, Counters, Counters, ValueBasedConfig], PyTree]


def hard(online: PyTree, target: PyTree, before: Counters, after: Counters, config: ValueBasedConfig) -> PyTree:
    """Copies the online parameters every `target_update_env_steps` environment steps (Mnih et al. 2015)."""
    period = config.target_update_env_steps
    is_due = after.env_steps // period > before.env_steps // period
    return jax.tree.map(lambda new, old: jnp.where(is_due, new, old), online, target)


def never(online: PyTree, target: PyTree, before: Counters, after: Counters, config: ValueBasedConfig) -> PyTree:
    """Keeps the initial parameters."""
    return target


def moving_average(
    online: PyTree, average: PyTree, before: Counters, after: Counters, config: ValueBasedConfig
) -> PyTree:
    """Moves an average towards the online parameters, by 1 - exp(-steps / `average_env_steps`) of the distance.

    A policy can fail for a moment because its parameters never stand still: Adam's steps do not shrink when the
    gradients do. The average over the last iterations does not (docs/search.md).
    """
    rate = -jnp.expm1((before.env_steps - after.env_steps) / config.average_env_steps)
    return jax.tree.map(lambda new, old: old + rate * (new - old), online, average)


TARGET_RULES: dict[str, TargetRule] = {"hard": hard, "never": never}
