"""Hides the agents whose TD error, weighted by how much they observe, is above the team's mean."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from limae_jax.config.masking import ThresholdConfig
from limae_jax.masking.base import MaskingRule, MaskInputs, hide_above_mean, stateless
from limae_jax.masking.scores import MaskUnits, agent_mean
from limae_jax.types import Metrics


def make_rule(config: ThresholdConfig, num_agents: int, window: int) -> MaskingRule:
    """Observation-weighted score of LI-MA2E.

    score_i = mean_t delta_i(t) (fraction of nonzero features in agent i's observation at t)
    """
    units = MaskUnits(config.unit, window)

    def choose(inputs: MaskInputs, key: jax.Array) -> tuple[jax.Array, Metrics]:
        richness = jnp.mean((inputs.obs != 0).astype(jnp.float32), axis=-1)
        score = agent_mean(inputs.td_error_agent * richness, inputs.is_counted, units)
        return hide_above_mean(score, units, config, inputs)

    return stateless(choose)
