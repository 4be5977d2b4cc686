"""Uniform replay of rows, kept by flashbax. The only place that knows [N, T, ...] from [T, B, ...].

A row is one item of a flashbax buffer. In the buffer time comes after the row, so that a row is one piece of memory.
"""

from __future__ import annotations

import flashbax
import jax
import jax.numpy as jnp
from flashbax.buffers.trajectory_buffer import TrajectoryBufferState

from limae_jax.config import ReplayConfig
from limae_jax.replay.base import Replay
from limae_jax.types import Counters, PyTree, Rows, Sample


def _swap(rows: Rows) -> Rows:
    """[T, B, ...] to [B, T, ...] and back; what a row has once, at its start, is [B, ...] in both."""
    start = rows.start
    swapped = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), rows.replace(start=()))
    return swapped.replace(start=start)


def _cast(rows: Rows, dtype: jnp.dtype | type) -> Rows:
    return rows.replace(obs=rows.obs.astype(dtype), state=rows.state.astype(dtype))


def rows_at(state: TrajectoryBufferState, index: jax.Array) -> Rows:
    """The stored rows [T, B, ...] at index [B] of the ring, observations in float32."""
    return _cast(_swap(jax.tree.map(lambda x: x[0, index], state.experience)), jnp.float32)


def uniform_replay(config: ReplayConfig) -> Replay:
    """Rows drawn uniformly with replacement.

    Observations and states are stored in `config.observation_dtype`.
    """
    buffer = flashbax.make_item_buffer(
        max_length=config.capacity_rows,
        min_length=1,
        sample_batch_size=config.batch_rows,
        add_batches=True,
    )
    stored = jnp.dtype(config.observation_dtype)

    def init(example: Rows) -> TrajectoryBufferState:
        return buffer.init(jax.tree.map(lambda x: x[0], _swap(_cast(example, stored))))

    def add(state: TrajectoryBufferState, rows: Rows) -> TrajectoryBufferState:
        return buffer.add(state, _swap(_cast(rows, stored)))

    def sample(state: TrajectoryBufferState, key: jax.Array, counters: Counters) -> Sample:
        return Sample(_cast(_swap(buffer.sample(state, key).experience), jnp.float32))

    def split(state: TrajectoryBufferState) -> tuple[PyTree, PyTree]:
        return state.experience, state.replace(experience=())

    def join(ring: PyTree, rest: PyTree) -> TrajectoryBufferState:
        return rest.replace(experience=ring)

    def emptied(rest: PyTree) -> PyTree:
        return rest.replace(current_index=jnp.zeros_like(rest.current_index), is_full=jnp.zeros_like(rest.is_full))

    # flashbax keeps an axis of size 1 before the ring; seeds are stacked in front of that.
    return Replay(init, add, sample, split, join, emptied, row_axis=2)
