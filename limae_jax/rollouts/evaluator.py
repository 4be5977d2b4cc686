"""Evaluation: the first episode of each of N environments, played to its end.

Only whole first episodes count; otherwise short battles would count more often than long ones.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from limae_jax.environments.base import Environment
from limae_jax.keys import Stream, stream_key
from limae_jax.replay.memory import EPISODES_AT_ONCE
from limae_jax.systems.base import ActorCarry, Params, System
from limae_jax.systems.belief_quality import BeliefErrors, belief_metrics, no_errors
from limae_jax.types import Metrics, PyTree, Timestep


class _Episodes(struct.PyTreeNode):
    """N running episodes; finished ones no longer change."""

    step: jax.Array
    env_state: PyTree
    timestep: Timestep
    carry: ActorCarry
    finished: jax.Array
    returns: jax.Array
    lengths: jax.Array
    belief_errors: BeliefErrors


def play_episodes(
    env: Environment, system: System, params: Params, num_episodes: int, key: jax.Array, epsilon: float = 0.0
) -> tuple[Metrics, Metrics]:
    """Plays N episodes, at most EPISODES_AT_ONCE at the same time; more are played in batches of equal size.

    Args:
        env: the game.
        system: the system that acts.
        params: of one seed.
        num_episodes: N.
        key: consumed. Each batch folds its number into the key, so N determines which episodes are played.
        epsilon: exploration, see `systems.base.System.act`; 0 is greedy.

    Returns:
        (per episode, [N]: "return" (unscaled), "length" in environment steps, and the environment's outcomes; over all
        episodes, []: the quality of the agents' reconstructions, see `systems.belief_quality`)
    """
    num_batches = -(-num_episodes // EPISODES_AT_ONCE)
    if num_batches == 1:
        episodes, errors = _play_batch(env, system, params, num_episodes, num_episodes, key, epsilon)
    else:
        size = -(-num_episodes // num_batches)

        def play(batch: jax.Array) -> tuple[Metrics, BeliefErrors]:
            batch_key = jax.random.fold_in(key, batch)
            # The last batch has the same size so that all share a program; its surplus episodes do not count.
            return _play_batch(env, system, params, size, num_episodes - batch * size, batch_key, epsilon)

        episodes, errors = jax.lax.map(play, jnp.arange(num_batches))
        episodes = jax.tree.map(lambda x: jnp.reshape(x, -1)[:num_episodes], episodes)
        errors = jax.tree.map(lambda x: jnp.sum(x, axis=0), errors)
    return episodes, belief_metrics(errors, env.spec) if system.belief_errors else {}


def _play_batch(
    env: Environment,
    system: System,
    params: Params,
    num_episodes: int,
    num_counted: jax.Array | int,
    key: jax.Array,
    epsilon: float,
) -> tuple[Metrics, BeliefErrors]:
    """Plays episodes at the same time; those from index `num_counted` on never begin, and their results are invalid."""
    reset_key, step_key = jax.random.split(key)
    env_state, timestep = jax.vmap(env.reset)(jax.random.split(reset_key, num_episodes))
    nothing = jnp.zeros(num_episodes)
    start = _Episodes(
        step=jnp.zeros((), jnp.int32),
        env_state=env_state,
        timestep=timestep,
        carry=system.initial_carry(num_episodes),
        finished=jnp.arange(num_episodes) >= num_counted,
        returns=nothing,
        lengths=nothing,
        belief_errors=no_errors(env.spec),
    )

    def is_running(now: _Episodes) -> jax.Array:
        return jnp.any(~now.finished) & (now.step < env.spec.episode_limit)

    def play(now: _Episodes) -> _Episodes:
        key = jax.random.fold_in(step_key, now.step)
        # Key number N; the environments have keys 0 to N - 1.
        explore_key = jax.random.fold_in(key, num_episodes)
        acted = system.act(params, now.carry, now.timestep, epsilon, explore_key)
        errors = now.belief_errors
        if system.belief_errors:
            errors = system.belief_errors(params, now.carry, now.timestep, ~now.finished, errors)
        env_state, next_timestep = jax.vmap(env.step)(now.env_state, acted.action, jax.random.split(key, num_episodes))

        def keep_finished(old: jax.Array, new: jax.Array) -> jax.Array:
            shape = (num_episodes,) + (1,) * (new.ndim - 1)
            return jnp.where(jnp.reshape(now.finished, shape), old, new)

        return _Episodes(
            step=now.step + 1,
            env_state=jax.tree.map(keep_finished, now.env_state, env_state),
            timestep=jax.tree.map(keep_finished, now.timestep, next_timestep),
            carry=acted.carry,
            finished=now.finished | next_timestep.is_last,
            returns=now.returns + jnp.where(now.finished, 0.0, next_timestep.reward),
            lengths=now.lengths + ~now.finished,
            belief_errors=errors,
        )

    end = jax.lax.while_loop(is_running, play, start)
    outcomes = jax.vmap(env.outcome)(end.env_state)
    return {"return": end.returns, "length": end.lengths, **outcomes}, end.belief_errors


def evaluate_seed(
    env: Environment,
    system: System,
    num_episodes: int,
    team: tuple[jax.Array, Params, jax.Array],
    stream: Stream = Stream.EVAL,
) -> Metrics:
    """Returns means over the episodes of one seed; uses its own key stream, so evaluation does not affect training.

    Args:
        env: the game.
        system: the system that acts.
        num_episodes: N.
        team: the seed [], its parameters, and the clock's iteration [] of the parameters.
        stream: key stream of the episodes.

    Returns:
        "test_return_mean", "test_length_mean" and test_<outcome>_mean, with the win rate as "test_win_rate", and
        test_r2... if the agents reconstruct team-mates. All of these are of greedy play. A stochastic policy is sampled
        as well, from the same starts: "test_return_mean_sampled" and "test_win_rate_sampled".
    """
    seed, params, iteration = team
    key = stream_key(seed, stream, iteration)
    episodes, quality = play_episodes(env, system, params, num_episodes, key)
    means = {f"test_{name}_mean": jnp.mean(value) for name, value in episodes.items()}
    if "win" in episodes:
        means["test_win_rate"] = means.pop("test_win_mean")
    if system.sampling is not None:
        sampled, _ = play_episodes(env, system, params, num_episodes, key, system.sampling)
        means["test_return_mean_sampled"] = jnp.mean(sampled["return"])
        if "win" in sampled:
            means["test_win_rate_sampled"] = jnp.mean(sampled["win"])
    return means | {f"test_{name}": value for name, value in quality.items()}
