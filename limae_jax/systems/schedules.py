"""Schedules depend on what a seed has done, never on the length of the run, so a run can be extended exactly."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from limae_jax.config import PpoConfig, ValueBasedConfig


def epsilon_at(config: ValueBasedConfig, explore_env_steps: jax.Array) -> jax.Array:
    """Returns the exploration rate, linear from `epsilon_start` to `epsilon_end`, then constant.

    Args:
        config: the schedule.
        explore_env_steps: environment steps since the schedule began.
    """
    fraction = jnp.clip(explore_env_steps / config.epsilon_decay_env_steps, 0.0, 1.0)
    return config.epsilon_start + fraction * (config.epsilon_end - config.epsilon_start)


def learning_rate_at(config: PpoConfig, env_steps: jax.Array) -> jax.Array:
    """Returns Adam's step size, linear from `learning_rate` to its share `learning_rate_left`, then constant.

    Args:
        config: the schedule.
        env_steps: environment steps of the seed.
    """
    fraction = jnp.clip(env_steps / config.learning_rate_decay_env_steps, 0.0, 1.0)
    return config.learning_rate * (1.0 + fraction * (config.learning_rate_left - 1.0))
