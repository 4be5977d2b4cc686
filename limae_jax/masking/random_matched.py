"""Control: hides as many agents as `mean_td` would, but at random. Tests whether the choice of agents matters."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from limae_jax.config.masking import ThresholdConfig
from limae_jax.masking.base import MaskingRule, MaskInputs, stateless
from limae_jax.masking.scores import MaskUnits, above_mean, agent_mean, highest
from limae_jax.types import Metrics


def make_rule(config: ThresholdConfig, num_agents: int, window: int) -> MaskingRule:
    """Hides as many agents as the mean TD-error threshold of LI-MA2E, drawn uniformly in each group."""
    units = MaskUnits(config.unit, window)

    def choose(inputs: MaskInputs, key: jax.Array) -> tuple[jax.Array, Metrics]:
        delta = agent_mean(inputs.td_error_agent, inputs.is_counted, units)
        is_high, _ = above_mean(delta, config.tolerance, config.top_k)
        number = jnp.sum(is_high, axis=-1, keepdims=True)
        is_hidden = highest(jax.random.uniform(key, delta.shape), number)
        return units.spread(is_hidden, *inputs.filled.shape), {}

    return stateless(choose)
