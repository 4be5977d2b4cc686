"""Hides the agents whose TD error is above the team's mean: the main rule of LI-MA2E."""

from __future__ import annotations

import jax

from limae_jax.config.masking import ThresholdConfig
from limae_jax.masking.base import MaskingRule, MaskInputs, hide_above_mean, stateless
from limae_jax.masking.scores import MaskUnits, agent_mean
from limae_jax.types import Metrics


def make_rule(config: ThresholdConfig, num_agents: int, window: int) -> MaskingRule:
    """Mean TD-error threshold of LI-MA2E.

    M_i = 1  iff  delta_i > theta (1 + tolerance),  theta = mean_i delta_i;  the top k if there are none
    """
    units = MaskUnits(config.unit, window)

    def choose(inputs: MaskInputs, key: jax.Array) -> tuple[jax.Array, Metrics]:
        delta = agent_mean(inputs.td_error_agent, inputs.is_counted, units)
        return hide_above_mean(delta, units, config, inputs)

    return stateless(choose)
