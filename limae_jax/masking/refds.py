"""Hides the agents whose TD error near the end of episodes is above the team's mean."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from limae_jax.config.masking import RefdsConfig
from limae_jax.masking.base import MaskingRule, MaskInputs, hide_above_mean, stateless
from limae_jax.masking.scores import MaskUnits, agent_mean
from limae_jax.types import Metrics

# Time constants beyond which weights stay constant. They are negligible next to the weights near the end, but an agent
# that died that long before the end still has a mean instead of 0 / 0.
_MOST_TIME_CONSTANTS = 60.0


def steps_to_end(is_first: jax.Array, filled: jax.Array) -> jax.Array:
    """Returns the steps from each slot to the last step of its episode, or of the row if the episode goes on after it.

    Args:
        is_first, filled: [T, B] bool.

    Returns:
        [T, B] int32, not negative; meaningless where not filled.
    """
    num_slots = filled.shape[0]
    slot = jnp.arange(num_slots, dtype=jnp.int32)[:, None]
    last_filled = jax.lax.cummax(jnp.where(filled, slot, -1), axis=0)
    is_end = jnp.concatenate([is_first[1:], jnp.ones_like(is_first[:1])])
    # `last_filled` is nondecreasing along a row, so its minimum over later ends is that of the nearest: no gather.
    end = jax.lax.cummin(jnp.where(is_end, last_filled, num_slots), axis=0, reverse=True)
    return jnp.maximum(end - slot, 0)


def make_rule(config: RefdsConfig, num_agents: int, window: int) -> MaskingRule:
    """Recency-focused score of LI-MA2E: mean TD error, weighted towards the end of each episode.

    score_i = sum_t w_t delta_i(t) / sum_t w_t,  w_t = exp(-(steps from t to the end) / tau)
    """
    units = MaskUnits(config.unit, window)

    def choose(inputs: MaskInputs, key: jax.Array) -> tuple[jax.Array, Metrics]:
        distance = steps_to_end(inputs.is_first, inputs.filled) / config.time_constant_steps
        weight = jnp.exp(-jnp.minimum(distance, _MOST_TIME_CONSTANTS))
        score = agent_mean(inputs.td_error_agent, inputs.is_counted, units, weight[..., None])
        return hide_above_mean(score, units, config, inputs)

    return stateless(choose)
