"""Settings of the mixers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limae_jax.checks import Section
from limae_jax.config.bounds import MAX_LAYERS, MAX_WIDTH


@dataclass(frozen=True)
class MixerConfig(Section):
    """Settings of the mixer, which combines the agents' utilities into the team's value.

    Attributes:
        name: `none` (agents learn independently), `vdn`, `qmix` or `qplex`.
    """

    section: ClassVar[str] = "mixer"

    name: str = "none"

    def floats_per_slot(self, num_agents: int) -> int:
        """Returns a rough upper estimate of the floats that mixing holds per slot of a row in a gradient step."""
        return num_agents


@dataclass(frozen=True)
class QmixMixerConfig(MixerConfig):
    """Settings of QMIX's monotone mixer (Rashid et al. 2018).

    Attributes:
        embed_dim: width of the mixing layer.
        hypernet_dim: width of the hidden layers of the hypernetworks.
    """

    name: str = "qmix"
    embed_dim: int = 32
    hypernet_dim: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("embed_dim", "hypernet_dim")
        self._at_most(MAX_WIDTH, "embed_dim", "hypernet_dim")

    def floats_per_slot(self, num_agents: int) -> int:
        """Counts the weights from the hypernetworks, their hidden layers and gradients."""
        return num_agents * self.embed_dim * 6


@dataclass(frozen=True)
class QplexMixerConfig(MixerConfig):
    """Settings of QPLEX's duplex dueling mixer (Wang et al. 2021).

    Attributes:
        hypernet_dim: width of the hidden layers of the mixer's networks.
        num_heads: heads whose advantage weights are summed.
        num_layers: layers of the networks that compute these weights.
    """

    name: str = "qplex"
    hypernet_dim: int = 64
    num_heads: int = 4
    num_layers: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("hypernet_dim", "num_heads", "num_layers")
        self._at_most(MAX_WIDTH, "hypernet_dim")
        self._at_most(MAX_LAYERS, "num_heads", "num_layers")

    def floats_per_slot(self, num_agents: int) -> int:
        """Counts the hidden layers of every head and their gradients."""
        return self.num_heads * (self.hypernet_dim * self.num_layers + num_agents) * 10


# Name -> the class of its settings.
MIXER_CONFIGS: dict[str, type[MixerConfig]] = {
    "none": MixerConfig,
    "vdn": MixerConfig,
    "qmix": QmixMixerConfig,
    "qplex": QplexMixerConfig,
}
