"""The training program: `run_chunk` = jit(vmap over seeds(scan over iterations)).

An iteration collects one row of every environment copy, adds them to the replay and takes gradient steps. The clock is
the only thing shared by the seeds and the only thing that may gate work: under vmap a condition on a seed's own state
would run both of its sides, always.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from limae_jax.config import TrainConfig
from limae_jax.config.traced import traced_values, with_values
from limae_jax.environments.vector import VectorEnv
from limae_jax.keys import Stream, stream_key
from limae_jax.play.rollout import RolloutState, collect_rows, init_rollout
from limae_jax.replay.base import Replay
from limae_jax.systems.base import LearnerState, Phase, System
from limae_jax.systems.build import build_system
from limae_jax.training.schedules import epsilon_at
from limae_jax.types import Clock, Counters, Metrics, PyTree, Rows


class SeedState(struct.PyTreeNode):
    """All that one seed is. Leaves have a leading [S] outside `run_chunk`.

    Attributes:
        seed: [] int32.
        is_failed: [] bool, a loss or gradient was not finite; the learner stays as it was before that.
        settings: [] each, the traced settings by name. No checkpoint holds them: config.yaml does.
        learner, replay, rollout, counters: see there.
    """

    seed: jax.Array
    is_failed: jax.Array
    settings: dict[str, jax.Array]
    learner: LearnerState
    replay: PyTree
    rollout: RolloutState
    counters: Counters


class Parts(NamedTuple):
    """What a training program is made of."""

    config: TrainConfig
    env: VectorEnv
    system: System
    replay: Replay

    def under(self, settings: dict[str, jax.Array]) -> Parts:
        """The same with other values of the traced settings."""
        config = with_values(self.config, settings)
        return self._replace(config=config, system=build_system(config, self.env.spec))


def init_seed(parts: Parts, seed: jax.Array) -> SeedState:
    """A seed before its first iteration."""
    learner = parts.system.init(stream_key(seed, Stream.INIT))
    rollout = init_rollout(parts.env, parts.system, stream_key(seed, Stream.RESET))
    key = stream_key(seed, Stream.ENV)
    length = parts.config.replay.row_length
    _, example, _ = jax.eval_shape(
        lambda: collect_rows(parts.env, parts.system, learner.params, rollout, jnp.ones(()), length, key, key)
    )
    replay = parts.replay.init(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), example))
    zero = jnp.zeros((), jnp.int32)
    counters = Counters(zero, zero, zero, zero)
    settings = jax.tree.map(jnp.asarray, traced_values(parts.config))
    return SeedState(jnp.asarray(seed, jnp.int32), jnp.zeros((), bool), settings, learner, replay, rollout, counters)


def _keep_if(holds: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(holds, a, b), new, old)


def _learn(parts: Parts, phase: Phase, state: SeedState, clock: Clock) -> tuple[SeedState, Metrics]:
    """The gradient steps of one iteration. A step that is not finite changes nothing and marks the seed failed."""
    updates, update = phase.updates_per_iteration, phase.update
    if update is None:
        return state, {}
    replay_stream, update_stream = phase.streams

    def step(state: SeedState, index: jax.Array) -> tuple[SeedState, Metrics]:
        count = clock.iteration * updates + index
        batch = parts.replay.sample(state.replay, stream_key(state.seed, replay_stream, count))
        key = stream_key(state.seed, update_stream, count)
        learner, metrics = update(state.learner, batch, state.counters, key)
        is_finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["grad_norm"]) & ~state.is_failed
        counters = state.counters.replace(grad_steps=state.counters.grad_steps + is_finite)
        learner = _keep_if(is_finite, learner, state.learner)
        return state.replace(learner=learner, counters=counters, is_failed=~is_finite), metrics

    # The replay is only read here: kept out of the scan's carry, it is not copied.
    replay = state.replay
    small = state.replace(replay=())

    def body(small: SeedState, index: jax.Array) -> tuple[SeedState, Metrics]:
        state, metrics = step(small.replace(replay=replay), index)
        return state.replace(replay=()), metrics

    small, metrics = jax.lax.scan(body, small, jnp.arange(updates))
    return small.replace(replay=replay), {f"mean_{name}": jnp.mean(value) for name, value in metrics.items()}


def epsilon_of(parts: Parts, phase: Phase, counters: Counters) -> jax.Array:
    """Exploration rate of a phase: by the schedule, or 1."""
    return epsilon_at(parts.config.system, counters.explore_env_steps) if phase.explores_by_schedule else jnp.ones(())


def run_iteration(parts: Parts, phase: Phase, state: SeedState, clock: Clock) -> tuple[SeedState, Metrics]:
    """Collects rows, stores them and learns from stored ones."""
    collected = collect_rows(
        parts.env,
        parts.system,
        state.learner.params,
        state.rollout,
        epsilon_of(parts, phase, state.counters),
        parts.config.replay.row_length,
        stream_key(state.seed, Stream.ENV, clock.iteration),
        stream_key(state.seed, Stream.EXPLORE, clock.iteration),
    )
    return take_in(parts, phase, state, clock, *collected)


def take_in(
    parts: Parts, phase: Phase, state: SeedState, clock: Clock, rollout: RolloutState, rows: Rows, sums: Metrics
) -> tuple[SeedState, Metrics]:
    """The rest of an iteration: counts and stores what `collect_rows` collected, and learns."""
    before, is_alive = state.counters, ~state.is_failed
    env_steps = sums["env_steps"] * is_alive
    counters = before.replace(
        env_steps=before.env_steps + env_steps,
        explore_env_steps=before.explore_env_steps + env_steps * phase.explores_by_schedule,
        episodes=before.episodes + sums["episodes"] * is_alive,
    )
    metrics = {
        "epsilon": epsilon_of(parts, phase, before),
        "train_episodes": sums["episodes"],
        "train_return_sum": sums["episode_return"],
    }
    state = state.replace(rollout=rollout, replay=parts.replay.add(state.replay, rows), counters=counters)
    state, learned = _learn(parts, phase, state, clock)
    refreshed = parts.system.refresh_targets(state.learner, before, counters)
    state = state.replace(learner=_keep_if(~state.is_failed, refreshed, state.learner))
    return state, metrics | learned


def _over_iterations(name: str, values: jax.Array) -> jax.Array:
    if name.startswith("train_"):
        return jnp.sum(values)
    return jnp.mean(values) if name.startswith("mean_") else values[-1]


def make_chunk(parts: Parts, phase: Phase, iterations: int) -> Callable[[SeedState, Clock], tuple[SeedState, Metrics]]:
    """`iterations` iterations of one seed as one function; `sharding.over_seeds` makes it a program for many.

    Its metrics are sums over the chunk where the name begins with `train_`, means where it begins with `mean_`, else
    the last iteration's value.
    """

    def chunk(state: SeedState, clock: Clock) -> tuple[SeedState, Metrics]:
        def body(state: SeedState, index: jax.Array) -> tuple[SeedState, Metrics]:
            return run_iteration(parts, phase, state, Clock(clock.iteration + index))

        state, metrics = jax.lax.scan(body, state, jnp.arange(iterations, dtype=jnp.int32))
        return state, {name: _over_iterations(name, value) for name, value in metrics.items()}

    return chunk


def make_chunk_under_own_settings(
    parts: Parts, phase: Phase, iterations: int
) -> Callable[[SeedState, Clock], tuple[SeedState, Metrics]]:
    """As `make_chunk`, under the settings that each seed's state has in place of those that `parts` were built with.

    Args:
        parts: what the program is made of.
        phase: one of the system's own, or one without gradient steps.
        iterations: of the chunk.
    """

    def chunk(state: SeedState, clock: Clock) -> tuple[SeedState, Metrics]:
        own = parts.under(state.settings)
        own_phases = {candidate.name: candidate for candidate in own.system.phases}
        return make_chunk(own, own_phases.get(phase.name, phase), iterations)(state, clock)

    return chunk
