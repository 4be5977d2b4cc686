"""IPPO: PPO whose critic sees what the agent sees (de Witt et al. 2020)."""

from limae_jax.config import IppoConfig, TrainConfig
from limae_jax.systems.base import System
from limae_jax.systems.ppo import build_ppo
from limae_jax.types import EnvSpec


def make_spec(config: TrainConfig, env: EnvSpec) -> System:
    """Returns PPO with the critic that `system.critic` names.

    Raises:
        ValueError: the settings are of another system.
    """
    if not isinstance(config.system, IppoConfig):
        raise ValueError(f"system={config.system.name} has no settings of IPPO")
    return build_ppo(config, env, config.system.critic)
