"""Prioritised replay: rows are drawn by priority and recency.

    p_i = priority of row i (see `losses.td.row_priority`) + 1e-6
    m_i = p_i^alpha * recency_decay^age_i           age_i: number of additions since row i was added
    P_i = m_i / sum_k m_k
    w_i = (N P_i)^-beta / max over the batch        weight of the row's TD errors in the loss

Schaul et al. 2016, sections 3.3 and 3.4, in the proportional variant, with alpha = `priority_exponent` and beta, which
rises from `importance_exponent` to 1. N rows are stored. A row that no gradient step has used, or whose last priority
was not finite, gets the largest known priority.

The memory has a few thousand rows, so one pass over all of them per draw is cheap. A sum tree is not used: it would
have to be rebuilt whenever rows grow older.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flashbax.buffers.trajectory_buffer import TrajectoryBufferState
from flax import struct

from limae_jax.config import PrioritisedReplayConfig
from limae_jax.replay.base import Replay
from limae_jax.replay.uniform import rows_at, uniform_replay
from limae_jax.types import Counters, PyTree, Rows, Sample

# Keeps a row without TD error from never being drawn again (value of PyMARL2).
_LEAST_PRIORITY = 1e-6
# A larger priority counts as infinite: its reciprocal is too small for float32.
_LARGEST_PRIORITY = 1e30


class PrioritisedState(struct.PyTreeNode):
    """Rows with their priorities.

    Attributes:
        stored: the ring of rows, as in uniform replay.
        priority: [capacity_rows] float32; infinite where unknown, which includes places without a row.
    """

    stored: TrajectoryBufferState
    priority: jax.Array


def importance_exponent(config: PrioritisedReplayConfig, counters: Counters) -> jax.Array:
    """Returns beta, which rises linearly to 1 over a seed's first `importance_anneal_env_steps` steps."""
    share = jnp.minimum(counters.env_steps / config.importance_anneal_env_steps, 1.0)
    return config.importance_exponent + (1.0 - config.importance_exponent) * share


def relative_probabilities(config: PrioritisedReplayConfig, rows_per_add: int, state: PrioritisedState) -> jax.Array:
    """Returns m [capacity_rows], the rows' probabilities up to a common factor; 0 where there is no row."""
    capacity, stored = len(state.priority), state.stored
    place = jnp.arange(capacity)
    # Counted back from the newest row; rows added together have the same age.
    age = (stored.current_index - 1 - place) % capacity // rows_per_add
    is_known = jnp.abs(state.priority) < _LARGEST_PRIORITY
    largest = jnp.max(jnp.where(is_known, state.priority, 0.0))
    # Relative to the largest priority, so that sums do not overflow.
    relative = jnp.where(is_known, state.priority / largest, 1.0)
    is_stored = stored.is_full | (place < stored.current_index)
    return jnp.where(is_stored, relative**config.priority_exponent * config.recency_decay**age, 0.0)


def draw(key: jax.Array, mass: jax.Array, count: int) -> jax.Array:
    """Draws indices [count] with replacement in proportion to `mass` [N].

    Stratified: one index from each of `count` parts of equal mass. An entry of mass 0 is never drawn unless all are 0.
    """
    cumulative = jnp.cumsum(mass)
    point = (jnp.arange(count) + jax.random.uniform(key, (count,))) * (cumulative[-1] / count)
    index = jnp.searchsorted(cumulative, point, side="right", method="compare_all")
    # Rounding can lead to an entry of mass 0 or past the end: use the nearest entry before it that has mass.
    first = jnp.argmax(mass > 0)
    nearest = jax.lax.cummax(jnp.where(mass > 0, jnp.arange(len(mass)), first))
    return nearest[jnp.minimum(index, len(mass) - 1)]


def last_of_same(index: jax.Array) -> jax.Array:
    """Returns, for each entry of `index` [B], the position [B] of the last entry equal to it."""
    is_same = index[:, None] == index
    return jnp.max(jnp.where(is_same, jnp.arange(len(index)), 0), axis=1)


def prioritised_replay(config: PrioritisedReplayConfig, rows_per_add: int) -> Replay:
    """Makes a replay memory that draws rows by priority and recency, with replacement.

    Args:
        config: settings; numbers may be traced, but not sizes.
        rows_per_add: rows per call of `add`; one call is the unit of age.
    """
    ring = uniform_replay(config)

    def init(example: Rows) -> PrioritisedState:
        return PrioritisedState(ring.init(example), jnp.full(config.capacity_rows, jnp.inf))

    def add(state: PrioritisedState, rows: Rows) -> PrioritisedState:
        places = (state.stored.current_index + jnp.arange(rows.filled.shape[1])) % config.capacity_rows
        return PrioritisedState(ring.add(state.stored, rows), state.priority.at[places].set(jnp.inf))

    def sample(state: PrioritisedState, key: jax.Array, counters: Counters) -> Sample:
        mass = relative_probabilities(config, rows_per_add, state)
        index = draw(key, mass, config.batch_rows)
        # The least likely row has the largest weight; N and the sum of m cancel in the ratio.
        weight = (mass[index] / jnp.min(mass[index])) ** -importance_exponent(config, counters)
        return Sample(rows_at(state.stored, index), index, weight)

    def update_priority(state: PrioritisedState, batch: Sample, priority: jax.Array | None) -> PrioritisedState:
        if priority is None or batch.index is None:
            return state
        index = batch.index
        # A row drawn twice is written twice in undefined order, so both writes get the last value.
        last = priority[last_of_same(index)]
        return state.replace(priority=state.priority.at[index].set(last + _LEAST_PRIORITY))

    def split(state: PrioritisedState) -> tuple[PyTree, PyTree]:
        rows, rest = ring.split(state.stored)
        return rows, state.replace(stored=rest)

    def join(rows: PyTree, rest: PyTree) -> PrioritisedState:
        return rest.replace(stored=ring.join(rows, rest.stored))

    def emptied(rest: PyTree) -> PyTree:
        return PrioritisedState(ring.emptied(rest.stored), jnp.full_like(rest.priority, jnp.inf))

    return Replay(init, add, sample, split, join, emptied, ring.row_axis, update_priority)
