"""MA2E: QMIX whose agents use a masked auto-encoder's reconstruction of their team as context (Kang et al. 2025).

LI-MA2E is the same with another masking rule (section `masking` of the settings).
"""

from collections.abc import Callable

from limae_jax.config import TrainConfig, ValueBasedConfig
from limae_jax.networks.agent import GruAgent
from limae_jax.systems.masked_training import frozen_mae, mae_auxiliary, mae_optimiser, pretraining
from limae_jax.systems.team_models import MAE, mae_team_model
from limae_jax.systems.value_spec import ValueBasedSpec, mixer_of, td_optimiser
from limae_jax.types import EnvSpec


def make_spec(config: TrainConfig, env: EnvSpec) -> ValueBasedSpec:
    """Returns agents that attend to their reconstructed team, with QMIX's mixer unless the settings name another."""
    is_frozen = config.auto_encoder.freeze_after_pretraining
    return ValueBasedSpec(
        mixer=mixer_of(config),
        make_agent=context_agent(config),
        auxiliaries=(frozen_mae(config, env) if is_frozen else mae_auxiliary(config, env),),
        optimisers={"td": td_optimiser, MAE: lambda system: mae_optimiser(config.auto_encoder)},
        train_labels=("td",) if is_frozen else None,
        target_rules={"agent": "hard", "mixer": "hard"} | ({MAE: "hard"} if config.auto_encoder.target_copy else {}),
        team_model=mae_team_model(config, env),
        phases=lambda core, config: pretraining(config, core),
    )


def context_agent(config: TrainConfig) -> Callable[[EnvSpec, ValueBasedConfig], GruAgent]:
    """Returns a function that makes an agent that attends to its beliefs."""

    def make(env: EnvSpec, system: ValueBasedConfig) -> GruAgent:
        return GruAgent(env.num_actions, system.hidden_size, config.team_window.width if config.has_context else None)

    return make
