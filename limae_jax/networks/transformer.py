"""Parts of a pre-norm transformer over (agent, step) tokens, which computes each step of a stretch once.

A layer attends to the few steps in its `reach` only. The reaches of an encoder's layers add up to L - 1, so its output
at a slot depends only on the window of L steps that ends there. A code for each step back encodes time; it is added to
keys and values. Attention over a handful of keys is written as dense products and sums: batched products of that size
are slow on every backend.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from limae_jax.networks.linear import Linear, product

NEVER = -1e9
_CODE_STDDEV = 0.1


def position_code(module: nn.Module, name: str, count: int, width: int) -> jax.Array:
    """Returns learned position codes [count, width]."""
    return module.param(name, nn.initializers.normal(_CODE_STDDEV), (count, width))


def split_reach(window: int, num_layers: int) -> list[int]:
    """Returns the number of steps back that each layer attends to: window - 1 in total, split evenly."""
    each, rest = divmod(window - 1, num_layers)
    return [each + (layer < rest) for layer in range(num_layers)]


def head_sums(width: int, num_heads: int, dtype: jnp.dtype) -> jax.Array:
    """Returns a 0-1 matrix [D, heads] that assigns features to heads."""
    return jnp.repeat(jnp.eye(num_heads, dtype=dtype), width // num_heads, axis=0)


def attend(query: jax.Array, keys: jax.Array, values: jax.Array, is_allowed: jax.Array, num_heads: int) -> jax.Array:
    """Multi-head attention of each query over its own few keys (Vaswani et al. 2017, section 3.2).

    Args:
        query: [..., D].
        keys, values: [..., K, D], broadcast against the query's axes.
        is_allowed: [..., K] bool, broadcast the same way. Where nothing is allowed the result is 0.
        num_heads: number of heads.

    Returns:
        [..., D].
    """
    width = query.shape[-1]
    of_head = head_sums(width, num_heads, query.dtype)
    scores = product(query[..., None, :] * keys, of_head) * (width // num_heads) ** -0.5
    scores = jnp.where(is_allowed[..., None], scores, NEVER)
    weights = jnp.where(is_allowed[..., None], jax.nn.softmax(scores, axis=-2), 0.0)
    return jnp.sum(product(weights, of_head.T) * values, axis=-2)


def attend_shared(
    queries: jax.Array, keys: jax.Array, values: jax.Array, is_allowed: jax.Array, num_heads: int
) -> jax.Array:
    """Multi-head attention of several queries over the same keys.

    Args:
        queries: [..., Q, D].
        keys, values: [..., K, D].
        is_allowed: [..., K] bool. Where nothing is allowed the result is 0.
        num_heads: number of heads.

    Returns:
        [..., Q, D].
    """
    width = queries.shape[-1]

    def by_head(x: jax.Array) -> jax.Array:
        x = jnp.reshape(x, (-1, x.shape[-2], num_heads, width // num_heads))
        return jnp.reshape(jnp.swapaxes(x, 1, 2), (-1, x.shape[1], x.shape[3]))

    # One batch axis over slots and heads: with two, XLA's CPU backend makes extra copies of the gradients.
    scores = by_head(queries) @ jnp.swapaxes(by_head(keys), 1, 2) * (width // num_heads) ** -0.5
    is_allowed = jnp.repeat(jnp.reshape(is_allowed, (-1, is_allowed.shape[-1])), num_heads, axis=0)[:, None]
    weights = jnp.where(is_allowed, jax.nn.softmax(jnp.where(is_allowed, scores, NEVER)), 0.0)
    mixed = jnp.reshape(weights @ by_head(values), (-1, num_heads, queries.shape[-2], width // num_heads))
    return jnp.reshape(jnp.swapaxes(mixed, 1, 2), queries.shape)


class FeedForward(nn.Module):
    """x + W2 gelu(W1 LN(x)).

    Attributes:
        width: D.
        mlp_ratio: width of the hidden layer, in D.
    """

    width: int
    mlp_ratio: int = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x [..., D] to [..., D]."""
        inner = nn.gelu(Linear(self.mlp_ratio * self.width, name="inner")(nn.LayerNorm(name="norm")(x)))
        return x + Linear(self.width, name="outer")(inner)


class EncoderLayer(nn.Module):
    """Self-attention over a slot and the `reach` slots before it, then a feed-forward layer.

    Attributes:
        width: D.
        num_heads: number of heads.
        reach: number of steps back.
        mlp_ratio: see `FeedForward`.
    """

    width: int
    num_heads: int
    reach: int
    mlp_ratio: int = 4

    @nn.compact
    def __call__(self, x: jax.Array, valid_length: jax.Array, is_visible: jax.Array | None = None) -> jax.Array:
        """Applies the layer. The first `reach` slots are only attended to, and have no output.

        Args:
            x: [T, B, A, D] tokens.
            valid_length: [T, B] number of earlier slots that each slot may attend to; [T, B, A] if that differs between
                the agents, which then attend to their own tokens only.
            is_visible: [B, A] bool, agents whose tokens every token attends to; None: each agent attends to its own.

        Returns:
            [T - reach, B, A, D]; the output for a hidden agent is meaningless.
        """
        num_slots = x.shape[0] - self.reach
        normed = nn.LayerNorm(name="norm")(x)
        query = Linear(self.width, name="query")(normed[self.reach :])
        key, value = (Linear(self.width, name=name)(normed) for name in ("key", "value"))
        code = position_code(self, "step_code", self.reach + 1, self.width)

        def look_back(array: jax.Array) -> list[jax.Array]:
            steps = range(self.reach + 1)
            return [array[self.reach - back : self.reach - back + num_slots] + code[back] for back in steps]

        is_present = valid_length[self.reach :, ..., None] >= jnp.arange(self.reach + 1)
        if is_visible is None:
            keys, values = (jnp.stack(look_back(array), axis=-2) for array in (key, value))
            own = is_present if valid_length.ndim == 3 else is_present[:, :, None]
            mixed = attend(query, keys, values, own, self.num_heads)
        else:
            keys, values = (jnp.concatenate(look_back(array), axis=-2) for array in (key, value))
            seen = jnp.reshape(is_present[..., None] & is_visible[:, None], (*is_present.shape[:2], -1))
            mixed = attend_shared(query, keys, values, seen, self.num_heads)
        x = x[self.reach :] + Linear(self.width, name="out")(mixed)
        return FeedForward(self.width, self.mlp_ratio, name="feed_forward")(x)
