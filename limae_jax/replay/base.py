"""What replay is to the training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax

from limae_jax.types import PyTree, Rows


class Replay(NamedTuple):
    """A replay memory of rows as pure functions.

    Attributes:
        init: example (Rows with B rows) -> state; allocates.
        add: (state, Rows with B rows) -> state; overwrites the oldest.
        sample: (state, key) -> Rows with `replay.batch_rows` rows, time-major, observations in float32.
        split: state -> (ring, rest): the large arrays with a ring of rows on axis `row_axis`, and everything small.
        join: (ring, rest) -> state.
        emptied: rest -> rest of a replay without rows, whose ring is zero.
        row_axis: axis of the ring when seeds are stacked in front. Row number r, counted from when the ring was last
            empty, is at index r % capacity_rows.
    """

    init: Callable[[Rows], PyTree]
    add: Callable[[PyTree, Rows], PyTree]
    sample: Callable[[PyTree, jax.Array], Rows]
    split: Callable[[PyTree], tuple[PyTree, PyTree]]
    join: Callable[[PyTree, PyTree], PyTree]
    emptied: Callable[[PyTree], PyTree]
    row_axis: int
