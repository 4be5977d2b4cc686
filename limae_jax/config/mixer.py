"""Settings of the mixers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limae_jax.checks import Section
from limae_jax.config.bounds import MAX_LAYERS, MAX_WIDTH


@dataclass(frozen=True)
class MixerConfig(Section):
    """How the team's value is made of the agents' utilities.

    Attributes:
        name: `none` (each agent learns alone), `vdn`, `qmix` or `qplex`.
    """

    section: ClassVar[str] = "mixer"

    name: str = "none"

    def floats_per_slot(self, num_agents: int) -> int:
        """A rough upper estimate of the numbers that a gradient step holds of each slot of a row for mixing."""
        return num_agents


@dataclass(frozen=True)
class QmixMixerConfig(MixerConfig):
    """QMIX's monotone mixing (Rashid et al. 2018).

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
        """The weights that the hypernetworks make, their hidden layers and gradients."""
        return num_agents * self.embed_dim * 6


@dataclass(frozen=True)
class QplexMixerConfig(MixerConfig):
    """QPLEX's duplex dueling (Wang et al. 2021).

    Attributes:
        hypernet_dim: width of the hidden layers of its networks.
        num_heads: heads that the weights of the advantages are summed over.
        num_layers: layers of the networks of these weights.
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
        """The hidden layers of every head, and their gradients."""
        return self.num_heads * (self.hypernet_dim * self.num_layers + num_agents) * 10


# Name -> the class of its settings.
MIXER_CONFIGS: dict[str, type[MixerConfig]] = {
    "none": MixerConfig,
    "vdn": MixerConfig,
    "qmix": QmixMixerConfig,
    "qplex": QplexMixerConfig,
}
