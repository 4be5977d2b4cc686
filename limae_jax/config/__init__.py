"""Every setting of a run, as frozen dataclasses. YAML and the command line are checked against them.

Nothing here imports jax, so mistakes are reported immediately. Fields that count environment steps end in
`_env_steps`; one environment step is one joint action of a team. Fields that follow the clock shared by all seeds
(evaluation, pre-training) end in `_time_steps`; time steps are environment steps and the final observation of each
episode.
"""

from limae_jax.config.codes import CodesConfig
from limae_jax.config.context import MaeConfig, WindowConfig
from limae_jax.config.env import ENV_CONFIGS, MatrixConfig, MpeConfig, SmacConfig, SmaxConfig
from limae_jax.config.env_base import CompiledConfig, EnvConfig
from limae_jax.config.masking import MASKING_CONFIGS, MaskingConfig
from limae_jax.config.mixer import MIXER_CONFIGS, MixerConfig, QmixMixerConfig, QplexMixerConfig
from limae_jax.config.other_games import GymnasiumConfig, JaxmarlConfig, ParallelConfig, PettingzooConfig
from limae_jax.config.run import (
    REPLAY_CONFIGS,
    CheckpointConfig,
    EvalConfig,
    MetricsConfig,
    PrioritisedReplayConfig,
    ReplayConfig,
    RunConfig,
)
from limae_jax.config.system import (
    SYSTEM_CONFIGS,
    IppoConfig,
    IqlConfig,
    LiMa2eConfig,
    Ma2eConfig,
    MappoConfig,
    OracleConfig,
    PpoConfig,
    QmixConfig,
    QplexConfig,
    SystemConfig,
    ValueBasedConfig,
    VdnConfig,
)
from limae_jax.config.train import TrainConfig

__all__ = [
    "ENV_CONFIGS",
    "MASKING_CONFIGS",
    "MIXER_CONFIGS",
    "REPLAY_CONFIGS",
    "SYSTEM_CONFIGS",
    "CheckpointConfig",
    "CodesConfig",
    "CompiledConfig",
    "EnvConfig",
    "EvalConfig",
    "GymnasiumConfig",
    "IppoConfig",
    "IqlConfig",
    "JaxmarlConfig",
    "LiMa2eConfig",
    "Ma2eConfig",
    "MaeConfig",
    "MappoConfig",
    "MaskingConfig",
    "MatrixConfig",
    "MetricsConfig",
    "MixerConfig",
    "MpeConfig",
    "OracleConfig",
    "ParallelConfig",
    "PettingzooConfig",
    "PpoConfig",
    "PrioritisedReplayConfig",
    "QmixConfig",
    "QmixMixerConfig",
    "QplexConfig",
    "QplexMixerConfig",
    "ReplayConfig",
    "RunConfig",
    "SmacConfig",
    "SmaxConfig",
    "SystemConfig",
    "TrainConfig",
    "ValueBasedConfig",
    "VdnConfig",
    "WindowConfig",
]
