"""Uniform replay of rows, stored with flashbax. The only module that converts between [N, T, ...] and [T, B, ...].

A row is one item of a flashbax buffer. The buffer's time axis follows the row axis, so a row is contiguous in memory.
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
    """Swaps [T, B, ...] and [B, T, ...]; `start`, which each row has once, is [B, ...] in both."""
    start = rows.start
    swapped = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), rows.replace(start=()))
    return swapped.replace(start=start)


def _cast(rows: Rows, dtype: jnp.dtype | type) -> Rows:
    return rows.replace(obs=rows.obs.astype(dtype), state=rows.state.astype(dtype))


def rows_at(state: TrajectoryBufferState, index: jax.Array) -> Rows:
    """Returns the stored rows [T, B, ...] at `index` [B] of the ring, with observations in float32."""
    return _cast(_swap(jax.tree.map(lambda x: x[0, index], state.experience)), jnp.float32)


def uniform_replay(config: ReplayConfig) -> Replay:
    """Makes a replay memory that draws rows uniformly with replacement.

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

    # flashbax has an axis of size 1 before the ring; the axis of seeds comes before both.
    return Replay(init, add, sample, split, join, emptied, row_axis=2)
