"""Hides the agents whose running mean of the TD error is above the team's mean."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from limae_jax.config.masking import EmaConfig
from limae_jax.masking.base import MaskingRule, MaskInputs, Selection, hide_above_mean
from limae_jax.masking.scores import MaskUnits, agent_mean


class EmaState(NamedTuple):
    """A running mean that starts at 0.

    Attributes:
        mean: [A] s.
        weight: [] total weight of the data in the mean, 1 - (1 - alpha)^n. Stored in place of n, which would overflow.
    """

    mean: jax.Array
    weight: jax.Array


def make_rule(config: EmaConfig, num_agents: int, window: int) -> MaskingRule:
    """Running mean of the TD error of LI-MA2E, bias-corrected as in Adam (Kingma & Ba 2015, section 3).

    s_i <- (1 - alpha) s_i + alpha delta_i;  score_i = s_i / (1 - (1 - alpha)^n) after n batches
    """
    units = MaskUnits(config.unit, window)

    def init() -> EmaState:
        return EmaState(jnp.zeros(num_agents, jnp.float32), jnp.zeros((), jnp.float32))

    def select(state: EmaState, inputs: MaskInputs, key: jax.Array) -> Selection:
        delta = agent_mean(inputs.td_error_agent, inputs.is_counted, units)[0, 0]
        keep = 1.0 - config.alpha
        state = EmaState(keep * state.mean + config.alpha * delta, keep * state.weight + config.alpha)
        score = state.mean / state.weight
        is_hidden, metrics = hide_above_mean(score[None, None], units, config, inputs)
        return Selection(is_hidden, state, metrics)

    return MaskingRule(init, select)
