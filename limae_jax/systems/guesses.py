"""What agents guess of their team-mates while they act, for those who want to look at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from limae_jax.catalogue.systems import NOT_DECENTRALISED
from limae_jax.config import TrainConfig
from limae_jax.networks.agent import AgentInputs
from limae_jax.systems.base import ActorCarry, Params
from limae_jax.systems.team_models import MAE, mae_team_model
from limae_jax.types import EnvSpec, Timestep

Guesses = Callable[[Params, ActorCarry, Timestep], jax.Array]


def make_guesses(config: TrainConfig, env: EnvSpec) -> Guesses | None:
    """How to see the guesses of a system's agents.

    Args:
        config: of the run.
        env: sizes.

    Returns:
        (params, carry before the step, timestep [B, ...]) -> [B, A, A - 1, F], each agent's reconstruction of its
        team-mates' newest observation and action, in the order of `networks.mae.other_agents`. None if agents guess
        nothing, have nobody to guess, or know the truth.
    """
    if env.num_agents == 1 or config.system.name in NOT_DECENTRALISED:
        return None
    model = mae_team_model(config, env)
    if model is None:
        return None

    def guess(params: Params, carry: ActorCarry, timestep: Timestep) -> jax.Array:
        if carry.history is None:
            raise ValueError("guesses are made from a history, and the carry has none")
        inputs = AgentInputs.of_step(timestep.obs, carry.last_action, timestep.is_first)
        beliefs: Any = model.infer(params[MAE], carry.history, inputs)
        # The newest step comes first.
        return beliefs.decoded[0, ..., : beliefs.head.shape[0]] @ beliefs.head

    return guess
