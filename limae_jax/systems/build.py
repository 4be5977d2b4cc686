"""From a system's name to its functions."""

from limae_jax.config import TrainConfig
from limae_jax.systems.base import System
from limae_jax.systems.load import load_system
from limae_jax.systems.value_based import build_value_based
from limae_jax.types import EnvSpec


def build_system(config: TrainConfig, env: EnvSpec) -> System:
    """The system that `config.system.name` names, bound to its settings and the environment's sizes."""
    spec = load_system(config.system.name).make_spec(config, env)
    return build_value_based(spec, config, env)
