"""Control: one agent is visible, independent of the errors; the agents take turns."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from limae_jax.config.masking import MaskingConfig
from limae_jax.masking.base import MaskingRule, MaskInputs, Selection


def make_rule(config: MaskingConfig, num_agents: int, window: int) -> MaskingRule:
    """Hides all but one agent, as at execution: agent n mod A is visible in batch n. The state is n mod A, [] int32."""

    def init() -> jax.Array:
        return jnp.zeros((), jnp.int32)

    def select(state: jax.Array, inputs: MaskInputs, key: jax.Array) -> Selection:
        is_hidden = jnp.broadcast_to(jnp.arange(num_agents) != state, inputs.is_counted.shape)
        return Selection(is_hidden, (state + 1) % num_agents, {})

    return MaskingRule(init, select)
