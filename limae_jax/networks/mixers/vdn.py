"""VDN's mixer."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from limae_jax.networks.mixers.base import MixerInputs


class VdnMixer(nn.Module):
    """Q_tot = sum_i Q_i (Sunehag et al. 2018, eq. 2)."""

    @nn.compact
    def __call__(self, inputs: MixerInputs) -> jax.Array:
        """Returns Q_tot [T, B] of the agents' chosen utilities."""
        return jnp.sum(inputs.chosen_q, axis=-1)
