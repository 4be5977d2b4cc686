"""The oracle: MA2E's network over the team-mates' true windows. Not decentralised: a bound on reconstruction."""

from limae_jax.config import TrainConfig
from limae_jax.systems.base import Auxiliary, Phase
from limae_jax.systems.ma2e import context_agent
from limae_jax.systems.masked_training import attention_only
from limae_jax.systems.team_models import true_team_model
from limae_jax.systems.value_spec import ValueBasedSpec, mixer_of
from limae_jax.types import EnvSpec


def make_spec(config: TrainConfig, env: EnvSpec) -> ValueBasedSpec:
    """As MA2E, but agents get the truth that MA2E's agents reconstruct."""
    # As much random play before training as in MA2E, so that the budgets are equal.
    steps = config.team_window.pretrain_time_steps
    return ValueBasedSpec(
        mixer=mixer_of(config),
        make_agent=context_agent(config),
        auxiliaries=(Auxiliary("team", None, tuple, attention_only),),
        team_model=true_team_model(config, env),
        phases=lambda core, config: (Phase("pretrain", steps, explores_by_schedule=False),) if steps else (),
    )
