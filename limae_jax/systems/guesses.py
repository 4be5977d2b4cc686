"""The agents' reconstructions of their team-mates while they act, for inspection."""

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
    """Makes a function that returns the reconstructions of a system's agents.

    Args:
        config: settings of the run.
        env: sizes.

    Returns:
        (params, carry before the step, timestep [B, ...]) -> [B, A, A - 1, F], each agent's reconstruction of its
        team-mates' newest observation and action, in the order of `networks.mae.other_agents`. None if agents
        reconstruct nothing, have no team-mates, or know the truth.
    """
    if env.num_agents == 1 or config.system.name in NOT_DECENTRALISED:
        return None
    model = mae_team_model(config, env)
    if model is None:
        return None

    def guess(params: Params, carry: ActorCarry, timestep: Timestep) -> jax.Array:
        if carry.history is None:
            raise ValueError("the carry has no history to reconstruct team-mates from")
        inputs = AgentInputs.of_step(timestep.obs, carry.last_action, timestep.is_first)
        beliefs: Any = model.infer(params[MAE], carry.history, inputs)
        return beliefs.newest()[0]

    return guess
