"""Action selection from utilities."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from limae_jax.losses.td import greedy_action


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
