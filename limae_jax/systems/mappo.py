"""MAPPO: PPO with decentralised policies and a critic that sees the state (Yu et al. 2022)."""

from limae_jax.config import TrainConfig
from limae_jax.systems.base import System
from limae_jax.systems.ppo import build_ppo
from limae_jax.types import EnvSpec


def make_spec(config: TrainConfig, env: EnvSpec) -> System:
    """Returns PPO with a central critic."""
    return build_ppo(config, env, "central")
