"""The interface between replay and the training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from limae_jax.types import Counters, PyTree, Rows, Sample


def take_rows(rows: Rows, index: jax.Array) -> Rows:
    """Takes the rows at `index` [N] along axis B of rows [T, B, ...], in the order of `index`."""
    start = rows.start
    taken = jax.tree.map(lambda x: jnp.take(x, index, axis=1), rows.replace(start=()))
    return taken.replace(start=jax.tree.map(lambda x: jnp.take(x, index, axis=0), start))


class Replay(NamedTuple):
    """A replay memory as pure functions.

    Attributes:
        init: example (Rows with B rows) -> state; allocates.
        add: (state, Rows with B rows) -> state; overwrites the oldest rows.
        sample: (state, key, counters) -> Sample of `replay.batch_rows` rows, time-major, observations in float32.
            Schedules of the replay depend on the counters.
        split: state -> (ring, rest): the large arrays, with the ring of rows on axis `row_axis`, and the small rest.
        join: (ring, rest) -> state.
        emptied: rest -> rest of an empty replay, whose ring is zero.
        update_priority: (state, Sample, priority [B] of its rows or None) -> state with the same ring. Replay
            without priorities returns the state unchanged.
        row_axis: axis of the ring with a leading axis of seeds. The r-th row added since the ring was last empty is at
            index r % capacity_rows.
    """

    init: Callable[[Rows], PyTree]
    add: Callable[[PyTree, Rows], PyTree]
    sample: Callable[[PyTree, jax.Array, Counters], Sample]
    split: Callable[[PyTree], tuple[PyTree, PyTree]]
    join: Callable[[PyTree, PyTree], PyTree]
    emptied: Callable[[PyTree], PyTree]
    row_axis: int
    update_priority: Callable[[PyTree, Sample, jax.Array | None], PyTree] = lambda state, batch, priority: state


def allocated_bytes(replay: Replay, example: Rows) -> int:
    """Returns the bytes that one seed's replay allocates.

    Args:
        replay: the replay memory.
        example: a block of rows as passed to `add`; shapes are enough.
    """
    state = jax.eval_shape(replay.init, example)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
