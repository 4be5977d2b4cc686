"""Hides agents independently at random, as the masked auto-encoder of MA2E does; also used in pre-training."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from limae_jax.config.masking import MaskingConfig
from limae_jax.masking.base import MaskingRule, MaskInputs, stateless
from limae_jax.masking.scores import MaskUnits, highest
from limae_jax.types import Metrics


def bernoulli_mask(key: jax.Array, shape_prefix: Sequence[int], num_agents: int, probability: float) -> jax.Array:
    """Hides each agent with probability p, but at least one and not all.

    Args:
        key: typed key.
        shape_prefix: shape of the independent masks.
        num_agents: A; a single agent is never hidden.
        probability: p.

    Returns:
        is_hidden [*shape_prefix, A] bool. If the draw hides all agents, one is revealed; if it hides none, one is
        hidden. Each agent is equally likely to be changed.
    """
    if num_agents == 1:
        return jnp.zeros((*shape_prefix, 1), bool)
    draw = jax.random.uniform(key, (*shape_prefix, num_agents))
    is_hidden = draw < probability
    # Which agent has the extreme draw is independent of whether all draws are low or all are high, so no second draw is
    # needed.
    is_all = jnp.all(is_hidden, axis=-1, keepdims=True)
    is_none = ~jnp.any(is_hidden, axis=-1, keepdims=True)
    return (is_hidden & ~(is_all & highest(draw, 1))) | (is_none & highest(-draw, 1))


def make_rule(config: MaskingConfig, num_agents: int, window: int) -> MaskingRule:
    """Random masks of MA2E: M_i ~ Bernoulli(p), drawn separately for each group."""
    units = MaskUnits(config.unit, window)

    def choose(inputs: MaskInputs, key: jax.Array) -> tuple[jax.Array, Metrics]:
        num_slots, num_rows = inputs.filled.shape
        is_hidden = bernoulli_mask(key, units.shape(num_slots, num_rows), num_agents, config.probability)
        return units.spread(is_hidden, num_slots, num_rows), {}

    return stateless(choose)
