"""QMIX: the value of the team is a monotone, state-conditioned mix of the utilities (Rashid et al. 2018)."""

from limae_jax.config import TrainConfig
from limae_jax.systems.value_spec import ValueBasedSpec
from limae_jax.types import EnvSpec


def make_spec(config: TrainConfig, env: EnvSpec) -> ValueBasedSpec:
    """Returns a specification with QMIX's mixer."""
    return ValueBasedSpec(mixer="qmix")
