"""Control: nobody is hidden, so the auto-encoder has nothing to learn from after pre-training."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from limae_jax.config.masking import MaskingConfig
from limae_jax.masking.base import MaskingRule, MaskInputs, stateless
from limae_jax.types import Metrics


def make_rule(config: MaskingConfig, num_agents: int, window: int) -> MaskingRule:
    """M_i = 0 for every agent."""

    def choose(inputs: MaskInputs, key: jax.Array) -> tuple[jax.Array, Metrics]:
        return jnp.zeros(inputs.is_counted.shape, bool), {}

    return stateless(choose)
