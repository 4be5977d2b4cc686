"""Control: hides the agents with the lowest TD errors, as many as `mean_td` would hide."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from limae_jax.config.masking import ThresholdConfig
from limae_jax.masking.base import MaskingRule, MaskInputs, stateless
from limae_jax.masking.scores import MaskUnits, above_mean, agent_mean, highest
from limae_jax.types import Metrics


def make_rule(config: ThresholdConfig, num_agents: int, window: int) -> MaskingRule:
    """Hides as many agents as the mean TD-error threshold of LI-MA2E, but those with the lowest errors."""
    units = MaskUnits(config.unit, window)

    def choose(inputs: MaskInputs, key: jax.Array) -> tuple[jax.Array, Metrics]:
        delta = agent_mean(inputs.td_error_agent, inputs.is_counted, units)
        is_high, _ = above_mean(delta, config.tolerance, config.top_k)
        seen = units.sum(inputs.is_counted.astype(jnp.float32))
        is_hidden = highest(-delta, jnp.sum(is_high, axis=-1, keepdims=True), seen)
        return units.spread(is_hidden, *inputs.filled.shape), {}

    return stateless(choose)
