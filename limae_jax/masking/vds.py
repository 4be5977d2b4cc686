"""Hides the agents whose TD error varies between episodes and grows from batch to batch."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from limae_jax.config.masking import VdsConfig
from limae_jax.masking.base import MaskingRule, MaskInputs, Selection, hide_above_mean
from limae_jax.masking.scores import MaskUnits, agent_mean


class VdsState(NamedTuple):
    """The mean TD errors of the last K batches.

    Attributes:
        history: [K, A], newest last.
        num_valid: [] int32, number of entries filled so far, at its end.
    """

    history: jax.Array
    num_valid: jax.Array


def slope(history: jax.Array, num_valid: jax.Array) -> jax.Array:
    """Returns the least-squares slope per batch over the last entries.

    Args:
        history: [K, A], newest last.
        num_valid: [] number of last entries to use.

    Returns:
        [A]; 0 with fewer than two entries.
    """
    batch = jnp.arange(history.shape[0], dtype=jnp.float32)[:, None]
    is_valid = batch >= history.shape[0] - num_valid
    middle = history.shape[0] - 1 - 0.5 * (num_valid - 1)
    offset = jnp.where(is_valid, batch - middle, 0.0)
    # The slope does not depend on the origin; relative to the newest entry, a constant history gives exactly 0.
    rise = jnp.sum(jnp.where(is_valid, offset * (history - history[-1]), 0.0), axis=0)
    run = jnp.sum(jnp.square(offset))
    return jnp.where(num_valid >= 2, rise / jnp.maximum(run, 0.5), 0.0)


def episode_variance(values: jax.Array, is_counted: jax.Array, is_first: jax.Array) -> jax.Array:
    """Returns the population variance of the episodes' means.

    An episode is the part of a row between two starts; the first episode of a row may have begun before the row.

    Args:
        values, is_counted: [T, B, A].
        is_first: [T, B] bool.

    Returns:
        [A]; 0 for an agent with counted values in fewer than two episodes.
    """
    start = jnp.cumsum(is_first.astype(jnp.int32), axis=0)
    number = start - start[:1]
    # A product with a comparison instead of a segment sum, which is a scatter. Full precision: GPUs round to 10 bits.
    is_in = (number[:, None] == jnp.arange(is_first.shape[0])[:, None]).astype(jnp.float32)
    seen = jnp.stack([jnp.where(is_counted, values, 0.0), is_counted.astype(jnp.float32)])
    total, count = jnp.einsum("tsb,ntba->nsba", is_in, seen, precision=jax.lax.Precision.HIGHEST)
    is_seen = count > 0
    mean = total / jnp.maximum(count, 1.0)
    num_episodes = jnp.sum(is_seen, axis=(0, 1))
    middle = jnp.sum(mean, axis=(0, 1)) / jnp.maximum(num_episodes, 1)
    squares = jnp.sum(jnp.where(is_seen, jnp.square(mean - middle), 0.0), axis=(0, 1))
    return jnp.where(num_episodes >= 2, squares / jnp.maximum(num_episodes, 1), 0.0)


def make_rule(config: VdsConfig, num_agents: int, window: int) -> MaskingRule:
    """Variance-directional score of LI-MA2E: an error that varies and rises is a sign of forgetting.

    score_i = Var over episodes(delta_i) relu(slope of delta_i over the last K batches)

    Agents share a reward, so their errors often fall together; in that case the top k by delta_i are hidden.
    """
    units = MaskUnits(config.unit, window)

    def init() -> VdsState:
        return VdsState(jnp.zeros((config.history_batches, num_agents), jnp.float32), jnp.zeros((), jnp.int32))

    def select(state: VdsState, inputs: MaskInputs, key: jax.Array) -> Selection:
        delta = agent_mean(inputs.td_error_agent, inputs.is_counted, units)[0]
        history = jnp.concatenate([state.history[1:], delta])
        state = VdsState(history, jnp.minimum(state.num_valid + 1, config.history_batches))
        variance = episode_variance(inputs.td_error_agent, inputs.is_counted, inputs.is_first)
        score = variance * jax.nn.relu(slope(*state))
        # If no error rises, all scores are 0, and the error itself decides the top k.
        is_hidden, metrics = hide_above_mean(score[None, None], units, config, inputs, tie_break=delta[None])
        return Selection(is_hidden, state, metrics)

    return MaskingRule(init, select)
