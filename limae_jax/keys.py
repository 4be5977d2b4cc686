"""Derives random keys; no other module does.

A key is folded from (seed, stream, index), never split and carried. So no key is part of a run's state, a new
consumer does not change the randomness of others, and a resumed run draws the same numbers as an uninterrupted one.
"""

from __future__ import annotations

import enum

import jax
import numpy as np

# JAX's default; another implementation would change the results of every seed.
_IMPLEMENTATION = "threefry2x32"


class Stream(enum.IntEnum):
    """Purposes of keys. Append only: other numbers would change the results of every seed."""

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
    """Returns the key of one stream of one seed.

    Args:
        seed: [] integer, the user's number of the seed, independent of its group.
        stream: purpose of the key.
        index: [] integer, usually the clock's iteration.
    """
    key = jax.random.fold_in(jax.random.key(seed, impl=_IMPLEMENTATION), int(stream))
    return jax.random.fold_in(key, index)
