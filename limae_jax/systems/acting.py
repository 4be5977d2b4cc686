"""Action selection from utilities and from policies."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from limae_jax.errors import InputError
from limae_jax.losses.td import UNAVAILABLE, greedy_action
from limae_jax.types import EnvSpec

# Exploration at which a stochastic policy acts by itself; any value between 0 and 1 would do.
SAMPLING = 0.5


def check_discrete(system: str, env: EnvSpec) -> None:
    """Raises InputError if the actions of the environment are vectors, which `system` cannot choose."""
    if not env.actions.is_discrete:
        fix = f"needs discrete actions, and those of env={env.name} are vectors; choose another system"
        raise InputError(f"system={system}: {fix}")


def random_action(avail: jax.Array, uniform: jax.Array) -> jax.Array:
    """Returns a uniformly random legal action.

    Args:
        avail: [..., U] bool, at least one True.
        uniform: [...] draws from [0, 1).

    Returns:
        [...] int32.
    """
    count = jnp.sum(avail, axis=-1)
    rank = jnp.minimum((uniform * count).astype(jnp.int32), count - 1)
    return jnp.argmax(jnp.cumsum(avail, axis=-1) > rank[..., None], axis=-1).astype(jnp.int32)


def epsilon_greedy(q: jax.Array, avail: jax.Array, epsilon: jax.Array | float, key: jax.Array) -> jax.Array:
    """Chooses, per agent, a random legal action with probability epsilon, otherwise its best legal action.

    Args:
        q, avail: [..., U].
        epsilon: [] in [0, 1]; 0 is greedy for every key.
        key: consumed.

    Returns:
        [...] int32.
    """
    coin, draw = jax.random.uniform(key, (2, *avail.shape[:-1]))
    greedy = greedy_action(q, avail).astype(jnp.int32)
    return jnp.where(coin < epsilon, random_action(avail, draw), greedy)


def policy_action(log_probs: jax.Array, avail: jax.Array, exploration: jax.Array | float, key: jax.Array) -> jax.Array:
    """Chooses an action of a stochastic policy for each agent.

    Args:
        log_probs, avail: [..., U].
        exploration: [] 0 takes the most probable legal action for every key, 1 a uniformly random legal one; any value
            in between samples the policy.
        key: consumed.

    Returns:
        [...] int32.
    """
    even = jnp.where(avail, 0.0, UNAVAILABLE)
    drawn = jax.random.categorical(key, jnp.where(exploration == 1, even, log_probs))
    return jnp.where(exploration == 0, greedy_action(log_probs, avail), drawn).astype(jnp.int32)
