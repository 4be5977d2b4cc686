"""Attention of an agent over its beliefs about the team."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from limae_jax.networks.linear import product


class Beliefs(struct.PyTreeNode):
    """The team's windows as known to each agent: its own true window and its team-mates' reconstructed windows.

    Attributes:
        own: [T, B, A, R F] the last R steps (observation, one-hot previous action) of each agent; absent steps are 0.
        decoded: [T, B, A, A - 1, R D] the auto-encoder's output for each agent's team-mates; absent steps are 0. None:
            the agents read their team-mates' true windows, which decentralised agents cannot.
        head: [D, F] maps `decoded` to observation and action.
        offset: [T, B, R F] added to what the head makes of `decoded`; 0 for absent steps. None: nothing is added.
        log_alive: [T, B, A, A - 1] log-probability that each team-mate is alive; None: all count as alive.
    """

    own: jax.Array
    decoded: jax.Array | None = None
    head: jax.Array | None = None
    offset: jax.Array | None = None
    log_alive: jax.Array | None = None

    def newest(self) -> jax.Array:
        """Returns the reconstructed newest step of each agent's team-mates, [T, B, A, A - 1, F]."""
        if self.decoded is None or self.head is None:
            raise ValueError("these agents know their team-mates' windows and reconstruct nothing")
        width, num_features = self.head.shape
        guess = self.decoded[..., :width] @ self.head
        return guess if self.offset is None else guess + self.offset[..., None, None, :num_features]


class TeamAttention(nn.Module):
    """Attention of an agent's own window over the windows of the team, including its own.

        c_i = sum_j softmax_j((W_Q tau_i)(W_K tau_j)^T / sqrt(D) + log p_j) W_V tau_j

    p_j is the probability that team-mate j is alive, as agent i believes; agents that it believes dead have no weight.

    A reconstruction is tau_j = z_j H + b, where z_j has far fewer features than tau_j. It is never materialised: scores
    are computed against H W_K W_Q^T tau_i, and the weighted z_j are summed before the product with H W_V, which is
    equivalent.

    Attributes:
        width: D of queries, keys and values.
    """

    width: int

    @nn.compact
    def __call__(self, beliefs: Beliefs) -> tuple[jax.Array, jax.Array]:
        """Returns the context [T, B, A, D], and the weights [T, B, A, A] with which agent i (first) reads agent j."""
        own, num_agents = beliefs.own, beliefs.own.shape[-2]
        shape = (own.shape[-1], self.width)
        to_query, to_key, to_value = (
            self.param(name, nn.initializers.lecun_normal(), shape) for name in ("query", "key", "value")
        )
        query = product(own, to_query) * self.width**-0.5
        key, value = product(own, to_key), product(own, to_value)
        if beliefs.decoded is None or beliefs.head is None:
            weights = jax.nn.softmax(jnp.sum(query[..., :, None, :] * key[..., None, :, :], axis=-1))
            return jnp.sum(weights[..., None] * value[..., None, :, :], axis=-2), weights

        key_of_decoded, value_of_decoded = (_through_head(beliefs.head, kernel) for kernel in (to_key, to_value))
        asked = product(query, key_of_decoded.T)
        own_score = jnp.sum(query * key, axis=-1, keepdims=True)
        scores = jnp.sum(asked[..., None, :] * beliefs.decoded, axis=-1)
        if beliefs.offset is not None:
            scores += jnp.sum(query * product(beliefs.offset, to_key)[..., None, :], axis=-1, keepdims=True)
        if beliefs.log_alive is not None:
            scores += beliefs.log_alive
        weights = jax.nn.softmax(jnp.concatenate([own_score, scores], axis=-1))
        pooled = jnp.sum(weights[..., 1:, None] * beliefs.decoded, axis=-2)
        context = weights[..., :1] * value + product(pooled, value_of_decoded)
        if beliefs.offset is not None:
            context += (1.0 - weights[..., :1]) * product(beliefs.offset, to_value)[..., None, :]
        return context, _in_agent_order(weights, num_agents)


def _through_head(head: jax.Array, kernel: jax.Array) -> jax.Array:
    """Composes a kernel [R F, E] on observations and actions with the head: [R D, E], on the decoder's output."""
    by_step = jnp.reshape(kernel, (-1, head.shape[1], kernel.shape[-1]))
    return jnp.reshape(jnp.einsum("df,rfe->rde", head, by_step), (-1, kernel.shape[-1]))


def _in_agent_order(own_first: jax.Array, num_agents: int) -> jax.Array:
    """Reorders weights [..., A, A], in which each agent's own weight comes first, to the order of the agents."""
    own, others = own_first[..., :1], own_first[..., 1:]
    nothing = jnp.zeros_like(own)
    before = jnp.concatenate([others, nothing], axis=-1)
    after = jnp.concatenate([nothing, others], axis=-1)
    viewer, viewed = jnp.arange(num_agents)[:, None], jnp.arange(num_agents)
    return jnp.where(viewed < viewer, before, jnp.where(viewed > viewer, after, own))
