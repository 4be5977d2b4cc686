"""Mixers: from the utilities of the agents to the value of the team.

A mixer is a flax module that is called as mixer(MixerInputs) -> [T, B]. `MIXERS` says how each is made.
"""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn

from limae_jax.config import SystemConfig
from limae_jax.networks.mixers.base import MixerInputs
from limae_jax.networks.mixers.qmix import QmixMixer
from limae_jax.networks.mixers.qplex import QplexMixer
from limae_jax.networks.mixers.vdn import VdnMixer
from limae_jax.types import EnvSpec

__all__ = ["MIXERS", "MixerInputs", "QmixMixer", "QplexMixer", "VdnMixer"]

# Name -> how the mixer is made from the settings and the sizes of the game.
MIXERS: dict[str, Callable[[SystemConfig, EnvSpec], nn.Module]] = {
    "vdn": lambda config, env: VdnMixer(),
    "qmix": lambda config, env: QmixMixer(config.mixer_embed_dim, config.mixer_hypernet_dim),
    "qplex": lambda config, env: QplexMixer(
        config.mixer_hypernet_dim, config.mixer_num_heads, config.mixer_num_layers, env.num_actions
    ),
}
