"""Mixers: from the utilities of the agents to the value of the team.

A mixer is a flax module that is called as mixer(MixerInputs) -> [T, B]. `MIXERS` says how each is made.
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

# Name -> how the mixer is made from the settings and the sizes of the game.
MIXERS: dict[str, Callable[[Any, EnvSpec], nn.Module]] = {
    "vdn": lambda config, env: VdnMixer(),
    "qmix": lambda config, env: QmixMixer(config.embed_dim, config.hypernet_dim),
    "qplex": lambda config, env: QplexMixer(config.hypernet_dim, config.num_heads, config.num_layers, env.num_actions),
}


def make_mixer(name: str, config: MixerConfig, env: EnvSpec) -> nn.Module:
    """The mixer of that name, of this package or of a plug-in, made from its settings and the sizes of the game."""
    return (registered("mixer", name) or MIXERS[name])(config, env)
