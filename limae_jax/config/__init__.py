"""Every setting of a run, as frozen dataclasses. YAML and the command line are checked against them.

Nothing here imports jax, so a mistake is answered at once. Fields that count environment steps end in
`_env_steps`; one environment step is one joint action of a team. What is due on the clock that all seeds share
(evaluations, pre-training) counts time steps: environment steps and the final observation of each episode.
"""

from limae_jax.config.context import MaeConfig, MaskingConfig
from limae_jax.config.env import ENV_CONFIGS, MatrixConfig, MpeConfig, SmacConfig, SmaxConfig
from limae_jax.config.env_base import EnvConfig
from limae_jax.config.other_games import JaxmarlConfig, PettingzooConfig
from limae_jax.config.run import CheckpointConfig, EvalConfig, MetricsConfig, ReplayConfig, RunConfig
from limae_jax.config.system import SystemConfig
from limae_jax.config.train import TrainConfig

__all__ = [
    "ENV_CONFIGS",
    "CheckpointConfig",
    "EnvConfig",
    "EvalConfig",
    "JaxmarlConfig",
    "MaeConfig",
    "MaskingConfig",
    "MatrixConfig",
    "MetricsConfig",
    "MpeConfig",
    "PettingzooConfig",
    "ReplayConfig",
    "RunConfig",
    "SmacConfig",
    "SmaxConfig",
    "SystemConfig",
    "TrainConfig",
]
