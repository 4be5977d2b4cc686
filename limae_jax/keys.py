"""The only place that derives random keys.

A key is folded from (seed, stream, index), never split and carried. So no key is part of a run's state, a new
consumer moves nobody else's randomness, and a resumed run draws what the uninterrupted one would have drawn.
"""

from __future__ import annotations

import enum

import jax
import numpy as np

# As it is by default; another one would give each seed another meaning.
_IMPLEMENTATION = "threefry2x32"


class Stream(enum.IntEnum):
    """What a key is for. Append only: the numbers are part of what a seed means."""

    INIT = 0
    RESET = 1
    ENV = 2
    EXPLORE = 3
    REPLAY = 4
    UPDATE = 5
    EVAL = 6
    PRETRAIN_REPLAY = 7
    PRETRAIN_UPDATE = 8
    FRESH_EVAL = 9


def stream_key(seed: jax.Array | np.int32, stream: Stream, index: jax.Array | np.int32 | int = 0) -> jax.Array:
    """Key of one stream of one seed.

    Args:
        seed: [] integer, the seed as the user numbers it; the same whatever group it runs in.
        stream: purpose.
        index: [] integer, usually the clock's iteration.
    """
    key = jax.random.fold_in(jax.random.key(seed, impl=_IMPLEMENTATION), int(stream))
    return jax.random.fold_in(key, index)
