"""The training program: `run_chunk` = jit(vmap over seeds(scan over iterations)).

An iteration collects one row of every environment copy, adds the rows to the replay and takes gradient steps. The
clock is the only state that seeds share, and the only state that may gate work: under vmap, a condition on a seed's own
state would always run both branches.
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
from limae_jax.replay.base import Replay, take_rows
from limae_jax.replay.build import build_replay
from limae_jax.rollouts.rollout import RolloutState, collect_rows, init_rollout
from limae_jax.systems.base import LearnerState, OffPolicy, OnPolicy, Phase, Step, System, Update
from limae_jax.systems.build import build_system
from limae_jax.types import Clock, Counters, Metrics, PyTree, Rows, Sample


class SeedState(struct.PyTreeNode):
    """The whole state of one seed. Leaves have a leading [S] outside `run_chunk`.

    Attributes:
        seed: [] int32.
        is_failed: [] bool, whether a loss or gradient was not finite; the learner keeps its state before that.
        settings: [] each, the traced settings by name; stored in config.yaml, not in checkpoints.
        learner, replay, rollout, counters: see their types.
    """

    seed: jax.Array
    is_failed: jax.Array
    settings: dict[str, jax.Array]
    learner: LearnerState
    replay: PyTree
    rollout: RolloutState
    counters: Counters


class ChunkMetrics(struct.PyTreeNode):
    """The metrics of a seed in a chunk: [] each, by name.

    Attributes:
        latest: of its last iteration.
        means: over its gradient steps.
        sums: over its iterations.
    """

    latest: Metrics
    means: Metrics
    sums: Metrics


class Parts(NamedTuple):
    """The parts of a training program."""

    config: TrainConfig
    env: VectorEnv
    system: System
    replay: Replay

    def under(self, settings: dict[str, jax.Array]) -> Parts:
        """Returns the same parts with other values of the traced settings."""
        config = with_values(self.config, settings)
        system = build_system(config, self.env.spec)
        return self._replace(config=config, system=system, replay=build_replay(config, system.stores_rows))


# (state, clock) -> (state, metrics)
Chunk = Callable[[SeedState, Clock], tuple[SeedState, ChunkMetrics]]


def row_shapes(parts: Parts) -> Rows:
    """Returns the shapes of the rows that an iteration collects, without computing them."""

    def collect(key: jax.Array) -> Rows:
        params, rollout = parts.system.init(key).params, init_rollout(parts.env, parts.system, key)
        length = parts.config.replay.row_length
        return collect_rows(parts.env, parts.system, params, rollout, jnp.ones(()), length, key, key)[1]

    return jax.eval_shape(collect, jax.random.key(0))


def init_seed(parts: Parts, seed: jax.Array) -> SeedState:
    """Returns the initial state of a seed."""
    learner = parts.system.init(stream_key(seed, Stream.INIT))
    rollout = init_rollout(parts.env, parts.system, stream_key(seed, Stream.RESET))
    replay = parts.replay.init(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), row_shapes(parts)))
    zero = jnp.zeros((), jnp.int32)
    counters = Counters(zero, zero, zero, zero)
    settings = jax.tree.map(jnp.asarray, traced_values(parts.config))
    return SeedState(jnp.asarray(seed, jnp.int32), jnp.zeros((), bool), settings, learner, replay, rollout, counters)


def _keep_if(holds: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(holds, a, b), new, old)


def _gradient_step(state: SeedState, update: Update, batch: Sample, key: jax.Array) -> tuple[SeedState, Step]:
    """Takes a gradient step; one that is not finite changes nothing but marks the seed failed."""
    step = update(state.learner, batch, state.counters, key)
    is_finite = jnp.isfinite(step.loss) & jnp.isfinite(step.grad_norm) & ~state.is_failed
    counters = state.counters.replace(grad_steps=state.counters.grad_steps + is_finite)
    learner = _keep_if(is_finite, step.state, state.learner)
    return state.replace(learner=learner, counters=counters, is_failed=~is_finite), step


def _reported(step: Step) -> Metrics:
    return step.metrics | {"loss": step.loss, "grad_norm": step.grad_norm}


def _learn_from_stored(parts: Parts, learn: OffPolicy, state: SeedState, clock: Clock) -> tuple[SeedState, Metrics]:
    """Takes the gradient steps of one iteration on rows of the replay; metrics have a leading [updates]."""
    updates, (replay_stream, update_stream) = learn.updates_per_iteration, learn.streams
    replay = parts.replay
    # The rows are only read, so they stay out of the scan's carry and are not copied; priorities change.
    ring, rest = replay.split(state.replay)

    def body(small: SeedState, index: jax.Array) -> tuple[SeedState, Metrics]:
        count = clock.iteration * updates + index
        stored = replay.join(ring, small.replay)
        batch = replay.sample(stored, stream_key(small.seed, replay_stream, count), small.counters)
        small, step = _gradient_step(small, learn.update, batch, stream_key(small.seed, update_stream, count))
        _, rest = replay.split(replay.update_priority(stored, batch, step.priority))
        return small.replace(replay=rest), _reported(step)

    small, metrics = jax.lax.scan(body, state.replace(replay=rest), jnp.arange(updates))
    return small.replace(replay=replay.join(ring, small.replay)), metrics


def _learn_from_collected(learn: OnPolicy, state: SeedState, clock: Clock, rows: Rows) -> tuple[SeedState, Metrics]:
    """Takes the gradient steps of one iteration on its rows; metrics have a leading [epochs * minibatches]."""
    shuffle_stream, update_stream = learn.streams
    prepared = learn.prepare(state.learner, rows)
    num_rows = rows.filled.shape[1]

    def epoch(state: SeedState, index: jax.Array) -> tuple[SeedState, Metrics]:
        count = clock.iteration * learn.epochs + index
        order = jax.random.permutation(stream_key(state.seed, shuffle_stream, count), num_rows)

        def minibatch(state: SeedState, part: tuple[jax.Array, jax.Array]) -> tuple[SeedState, Metrics]:
            number, chosen = part
            key = stream_key(state.seed, update_stream, count * learn.minibatches + number)
            state, step = _gradient_step(state, learn.update, Sample(take_rows(prepared, chosen), chosen), key)
            return state, _reported(step)

        chosen = jnp.reshape(order, (learn.minibatches, -1))
        return jax.lax.scan(minibatch, state, (jnp.arange(learn.minibatches), chosen))

    state, metrics = jax.lax.scan(epoch, state, jnp.arange(learn.epochs))
    return state, jax.tree.map(jnp.ravel, metrics)


def exploration_of(parts: Parts, phase: Phase, counters: Counters) -> jax.Array:
    """Returns the exploration of a phase: from the system's schedule, or 1."""
    return parts.system.exploration(counters) if phase.explores_by_schedule else jnp.ones(())


def run_iteration(parts: Parts, phase: Phase, state: SeedState, clock: Clock) -> tuple[SeedState, ChunkMetrics]:
    """Collects rows, stores them and learns."""
    collected = collect_rows(
        parts.env,
        parts.system,
        state.learner.params,
        state.rollout,
        exploration_of(parts, phase, state.counters),
        parts.config.replay.row_length,
        stream_key(state.seed, Stream.ENV, clock.iteration),
        stream_key(state.seed, Stream.EXPLORE, clock.iteration),
    )
    return store_and_learn(parts, phase, state, clock, *collected)


def store_and_learn(
    parts: Parts, phase: Phase, state: SeedState, clock: Clock, rollout: RolloutState, rows: Rows, sums: Metrics
) -> tuple[SeedState, ChunkMetrics]:
    """Completes an iteration: counts and stores the collected rows, and learns."""
    before, is_alive = state.counters, ~state.is_failed
    env_steps = sums["env_steps"] * is_alive
    counters = before.replace(
        env_steps=before.env_steps + env_steps,
        explore_env_steps=before.explore_env_steps + env_steps * phase.explores_by_schedule,
        episodes=before.episodes + sums["episodes"] * is_alive,
    )
    state = state.replace(rollout=rollout, replay=parts.replay.add(state.replay, rows), counters=counters)
    learned: Metrics = {}
    if isinstance(phase.learn, OffPolicy):
        state, learned = _learn_from_stored(parts, phase.learn, state, clock)
    elif phase.learn is not None:
        state, learned = _learn_from_collected(phase.learn, state, clock, rows)
    refreshed = parts.system.after_iteration(state.learner, before, counters)
    state = state.replace(learner=_keep_if(~state.is_failed, refreshed, state.learner))
    sums = {"train_episodes": sums["episodes"], "train_return_sum": sums["episode_return"]}
    means = {name: jnp.mean(values) for name, values in learned.items()}
    return state, ChunkMetrics({"epsilon": exploration_of(parts, phase, before)}, means, sums)


def make_chunk(parts: Parts, phase: Phase, iterations: int) -> Chunk:
    """Makes a function of `iterations` iterations of one seed, for `seed_program.SeedProgram` to compile."""

    def chunk(state: SeedState, clock: Clock) -> tuple[SeedState, ChunkMetrics]:
        def body(state: SeedState, index: jax.Array) -> tuple[SeedState, ChunkMetrics]:
            return run_iteration(parts, phase, state, Clock(clock.iteration + index))

        state, metrics = jax.lax.scan(body, state, jnp.arange(iterations, dtype=jnp.int32))
        return state, ChunkMetrics(
            latest=jax.tree.map(lambda values: values[-1], metrics.latest),
            means=jax.tree.map(jnp.mean, metrics.means),
            sums=jax.tree.map(jnp.sum, metrics.sums),
        )

    return chunk


def make_chunk_under_own_settings(parts: Parts, phase: Phase, iterations: int) -> Chunk:
    """As `make_chunk`, but with the settings in each seed's state instead of those of `parts`.

    Args:
        parts: parts of the program.
        phase: a phase of the system, or a phase without gradient steps.
        iterations: of the chunk.
    """

    def chunk(state: SeedState, clock: Clock) -> tuple[SeedState, ChunkMetrics]:
        own = parts.under(state.settings)
        own_phases = {candidate.name: candidate for candidate in own.system.phases}
        return make_chunk(own, own_phases.get(phase.name, phase), iterations)(state, clock)

    return chunk
