"""Rollouts: one scan over time collects one row of each environment copy."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import struct

from limae_jax.environments.vector import VectorEnv
from limae_jax.systems.base import ActorCarry, Params, System
from limae_jax.types import Metrics, PyTree, Rows, Timestep


class RolloutState(struct.PyTreeNode):
    """The state of one seed's environment copies between two iterations.

    Attributes:
        env_state: leaves [B, ...].
        timestep: what the teams see now.
        carry: the acting carry.
        episode_return: [B] unscaled return of the running episodes so far.
    """

    env_state: PyTree
    timestep: Timestep
    carry: ActorCarry
    episode_return: jax.Array


def init_rollout(env: VectorEnv, system: System, key: jax.Array) -> RolloutState:
    """Resets every environment copy."""
    env_state, timestep = env.reset(key)
    return RolloutState(env_state, timestep, system.initial_carry(env.num_envs), jnp.zeros(env.num_envs))


def make_slot(
    seen: Timestep,
    action: jax.Array,
    next_timestep: Timestep,
    filled: jax.Array,
    extras: Mapping[str, jax.Array] | None,
) -> Rows:
    """Makes one slot [B, ...]: observations, actions and their results; no results if the episode was over."""
    return Rows(
        obs=seen.obs,
        state=seen.state,
        avail=seen.avail,
        alive=seen.alive,
        action=action,
        reward=jnp.where(filled, next_timestep.reward, 0.0),
        terminal=next_timestep.terminal & filled,
        truncated=next_timestep.truncated & filled,
        is_first=seen.is_first,
        filled=filled,
        start=(),
        extras=dict(extras or {}),
        agent_reward=_where_filled(filled, next_timestep.agent_reward),
    )


def _where_filled(filled: jax.Array, agent_reward: jax.Array | None) -> jax.Array | None:
    return None if agent_reward is None else jnp.where(filled[:, None], agent_reward, 0.0)


def collect_rows(
    env: VectorEnv,
    system: System,
    params: Params,
    state: RolloutState,
    exploration: jax.Array,
    row_length: int,
    env_key: jax.Array,
    explore_key: jax.Array,
) -> tuple[RolloutState, Rows, Metrics]:
    """Plays `row_length` time steps in every environment copy.

    Rows continue where the last ones stopped, possibly in the middle of an episode; each stores the acting carry that
    it starts from. An episode's final observation takes one time step, in which its environment is reset.

    Returns:
        The state, rows [row_length + 1, B, ...], and sums over the rows: "env_steps", finished "episodes" and their
        "episode_return".
    """
    start = state.carry

    def play(
        state: RolloutState, keys: tuple[jax.Array, jax.Array]
    ) -> tuple[RolloutState, tuple[Rows, jax.Array, jax.Array]]:
        env_key, explore_key = keys
        seen = state.timestep
        acted = system.act(params, state.carry, seen, exploration, explore_key)
        env_state, next_timestep = env.step(state.env_state, seen, acted.action, env_key)
        slot = make_slot(seen, acted.action, next_timestep, ~seen.is_last, acted.recorded)
        episode_return = jnp.where(next_timestep.is_first, 0.0, state.episode_return + next_timestep.reward)
        state = RolloutState(env_state, next_timestep, acted.carry, episode_return)
        return state, (slot, next_timestep.is_last, jnp.where(next_timestep.is_last, episode_return, 0.0))

    keys = (jax.random.split(env_key, row_length), jax.random.split(explore_key, row_length))
    state, (slots, ended, returns) = jax.lax.scan(play, state, keys)
    nothing = jnp.zeros_like(slots.filled[0])
    no_extras = {name: jnp.zeros_like(values[0]) for name, values in slots.extras.items()}
    last = make_slot(state.timestep, jnp.zeros_like(slots.action[0]), state.timestep, nothing, no_extras)
    rows = jax.tree.map(lambda many, one: jnp.concatenate([many, one[None]]), slots, last)
    sums = {
        "env_steps": jnp.sum(rows.filled, dtype=jnp.int32),
        "episodes": jnp.sum(ended, dtype=jnp.int32),
        "episode_return": jnp.sum(returns),
    }
    return state, rows.replace(start=start), sums
