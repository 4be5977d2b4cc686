"""VDN: the value of the team is the sum of the utilities (Sunehag et al. 2018)."""

from limae_jax.config import TrainConfig
from limae_jax.systems.value_spec import ValueBasedSpec
from limae_jax.types import EnvSpec


def make_spec(config: TrainConfig, env: EnvSpec) -> ValueBasedSpec:
    """Returns a specification with VDN's sum as the mixer."""
    return ValueBasedSpec(mixer="vdn")
