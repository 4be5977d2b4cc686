"""Parallel copies of an environment."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from limae_jax.environments.base import Environment
from limae_jax.types import PyTree, Timestep


class VectorEnv:
    """`num_envs` independent copies of `env`; states and timesteps have a leading [B].

    A copy whose episode has ended is reset by the next `step`. So every final observation has a timestep of its own,
    and the step after it is a reset, not a transition.
    """

    def __init__(self, env: Environment, num_envs: int):
        self.env = env
        self.num_envs = num_envs
        self.spec = env.spec

    def reset(self, key: jax.Array) -> tuple[PyTree, Timestep]:
        """Starts an episode in every copy."""
        return jax.vmap(self.env.reset)(jax.random.split(key, self.num_envs))

    def step(self, states: PyTree, timestep: Timestep, action: jax.Array, key: jax.Array) -> tuple[PyTree, Timestep]:
        """Plays one joint action in every copy, or starts the next episode where the last one ended.

        Args:
            states: [B, ...] from `reset` or `step`.
            timestep: [B, ...] returned with `states`.
            action: [B, A] int32; not used where `timestep.is_last`.
            key: random key of this step.
        """
        # The keys can serve twice: each copy uses either its step or its reset.
        keys = jax.random.split(key, self.num_envs)
        stepped = jax.vmap(self.env.step)(states, action, keys)
        fresh = jax.vmap(self.env.reset)(keys)
        return jax.tree.map(lambda new, old: _where(timestep.is_last, new, old), fresh, stepped)

    def outcome(self, states: PyTree) -> dict[str, jax.Array]:
        """Returns the outcomes, [B] each; see `base.Environment.outcome`."""
        return jax.vmap(self.env.outcome)(states)


def _where(choice: jax.Array, if_true: jax.Array, if_false: jax.Array) -> jax.Array:
    """Selects per copy: `choice` is [B], the others are [B, ...]."""
    return jnp.where(choice.reshape(choice.shape + (1,) * (if_true.ndim - 1)), if_true, if_false)
