"""No replay, for systems that learn only from the rows just collected."""

from __future__ import annotations

import jax

from limae_jax.replay.base import Replay
from limae_jax.types import Counters, PyTree, Rows, Sample


def no_replay() -> Replay:
    """Returns a replay memory that stores nothing."""

    def init(example: Rows) -> tuple[()]:
        return ()

    def add(state: PyTree, rows: Rows) -> PyTree:
        return state

    def sample(state: PyTree, key: jax.Array, counters: Counters) -> Sample:
        raise ValueError("the system stores no rows, so there are none to sample")

    def split(state: PyTree) -> tuple[PyTree, PyTree]:
        return (), state

    def join(ring: PyTree, rest: PyTree) -> PyTree:
        return rest

    return Replay(init, add, sample, split, join, lambda rest: rest, row_axis=2)
