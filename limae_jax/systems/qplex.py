"""QPLEX: duplex dueling, which can represent every value function consistent with the agents' greedy actions."""

from limae_jax.config import TrainConfig
from limae_jax.systems.value_spec import ValueBasedSpec
from limae_jax.types import EnvSpec


def make_spec(config: TrainConfig, env: EnvSpec) -> ValueBasedSpec:
    """Returns a specification with QPLEX's mixer."""
    return ValueBasedSpec(mixer="qplex")
