"""Mixers, which combine the agents' utilities into the team's value.

A mixer is a flax module that is called as mixer(MixerInputs) -> [T, B]. `MIXERS` holds their factories.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from limae_jax.config import MixerConfig
from limae_jax.networks.mixers.base import MixerInputs
from limae_jax.networks.mixers.qmix import QmixMixer
from limae_jax.networks.mixers.qplex import QplexMixer
from limae_jax.networks.mixers.vdn import VdnMixer
from limae_jax.registry import registered
from limae_jax.types import EnvSpec

__all__ = ["MIXERS", "MixerInputs", "QmixMixer", "QplexMixer", "VdnMixer", "make_mixer"]

# Name -> function that makes the mixer from its settings and the environment's spec.
MIXERS: dict[str, Callable[[Any, EnvSpec], nn.Module]] = {
    "vdn": lambda config, env: VdnMixer(),
    "qmix": lambda config, env: QmixMixer(config.embed_dim, config.hypernet_dim),
    "qplex": lambda config, env: QplexMixer(config.hypernet_dim, config.num_heads, config.num_layers, env.num_actions),
}


def make_mixer(name: str, config: MixerConfig, env: EnvSpec) -> nn.Module:
    """Makes the mixer of this name, from this package or a plug-in."""
    return (registered("mixer", name) or MIXERS[name])(config, env)
