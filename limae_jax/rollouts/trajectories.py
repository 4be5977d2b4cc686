"""Recordings of what a team sees and remembers while it plays."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from limae_jax.environments.base import Environment
from limae_jax.networks.windows import make_tokens
from limae_jax.systems.base import ActorCarry, Params, System
from limae_jax.types import PyTree, Timestep


class Trajectories(struct.PyTreeNode):
    """B episodes that begin together, padded to the game's longest one.

    Attributes:
        tokens: [T, B, A, F] each agent's observation and one-hot previous action.
        hidden: [T, B, A, H] the state of the agent's GRU before the observation.
        alive: [T, B, A] bool.
        is_running: [T, B] bool; everything else is padding.
    """

    tokens: jax.Array
    hidden: jax.Array
    alive: jax.Array
    is_running: jax.Array


def record(env: Environment, system: System, params: Params, num_episodes: int, key: jax.Array) -> Trajectories:
    """Plays the first episode of each of B environments with greedy actions.

    Args:
        env: the game.
        system: the system that acts.
        params: of one seed.
        num_episodes: B.
        key: consumed.
    """
    reset_key, step_key = jax.random.split(key)
    start = jax.vmap(env.reset)(jax.random.split(reset_key, num_episodes))

    def play(
        now: tuple[PyTree, Timestep, ActorCarry, jax.Array], step: jax.Array
    ) -> tuple[tuple[PyTree, Timestep, ActorCarry, jax.Array], Trajectories]:
        env_state, timestep, carry, is_running = now
        keys = jax.random.split(jax.random.fold_in(step_key, step), num_episodes + 1)
        last_action = jnp.where(timestep.is_first[:, None], -1, carry.last_action)
        tokens = make_tokens(timestep.obs, last_action, env.spec.num_actions)
        hidden = jnp.where(timestep.is_first[:, None, None], 0.0, carry.hidden)
        acted = system.act(params, carry, timestep, 0.0, keys[-1])
        env_state, timestep_after = jax.vmap(env.step)(env_state, acted.action, keys[:-1])
        seen = Trajectories(tokens, hidden, timestep.alive, is_running)
        return (env_state, timestep_after, acted.carry, is_running & ~timestep_after.is_last), seen

    running = jnp.ones(num_episodes, bool)
    carry = system.initial_carry(num_episodes)
    return jax.lax.scan(play, (*start, carry, running), jnp.arange(env.spec.episode_limit))[1]
