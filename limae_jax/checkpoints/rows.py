"""Splits a replay ring into segments of rows for saving, and restores it from them.

Row n, counted from when the ring was last empty, is at index n % C of a ring of C rows. A segment holds the `rows` rows
before row `end`; rows before `first` are padding. Segments have few sizes because each size needs a compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from limae_jax.types import PyTree

# Bounds of a segment. A fraction of the ring, or _LARGEST_BYTES for small rings, bounds the extra memory of a save.
# _MOST_SEGMENTS bounds the number of segments, which a restore opens one by one.
_LARGEST_FRACTION = 16
_LARGEST_BYTES = 32 * 2**20
_MOST_SEGMENTS = 128


@dataclass(frozen=True)
class Segment:
    """Rows [first, end) of a ring, saved in a folder of the `rows` rows that end with row `end` - 1."""

    name: str
    rows: int
    first: int
    end: int


def ring_capacity(ring: PyTree, axis: int) -> int:
    """Returns C, the number of rows of every leaf; 0 for a tree without leaves.

    Raises:
        ValueError: the leaves differ in it.
    """
    sizes = {leaf.shape[axis] for leaf in jax.tree.leaves(ring)}
    if len(sizes) > 1:
        raise ValueError(f"the ring's leaves differ in their number of rows: {sorted(sizes)}")
    return sizes.pop() if sizes else 0


def segment_size(new_rows: int, capacity: int, ring_bytes: int) -> int:
    """Returns the rows of a segment: the smallest power of two that holds all new rows, within the bounds above.

    Args:
        new_rows: rows to save, at least 1.
        capacity: C.
        ring_bytes: of the whole ring.
    """
    most_bytes = max(ring_bytes // _LARGEST_FRACTION, _LARGEST_BYTES)
    most_rows = max(1, most_bytes * capacity // max(ring_bytes, 1))
    wanted = max(new_rows, capacity // _MOST_SEGMENTS, 1)
    if most_rows >= capacity:
        return min(_power_of_two_from(wanted), capacity)
    return min(_power_of_two_from(wanted), _power_of_two_from(most_rows // 2 + 1))


def plan_segments(saved: int, rows_added: int, capacity: int, size: int) -> list[tuple[int, int]]:
    """Returns (first, end) of segments of `size` rows that cover those of rows [saved, rows_added) still in the ring.

    Oldest first; the last one ends at `rows_added`.
    """
    oldest = max(0, rows_added - capacity)
    plan = []
    end = rows_added
    while end > max(saved, oldest):
        plan.append((max(end - size, oldest), end))
        end -= size
    return plan[::-1]


def needed_segments(segments: list[Segment], rows_added: int, capacity: int) -> list[Segment]:
    """Returns the fewest of `segments` that cover the whole ring after `rows_added` rows; oldest first."""
    needed = []
    low = rows_added
    while low > max(0, rows_added - capacity):
        reaching = [segment for segment in segments if segment.end >= low > segment.first]
        best = min(reaching, key=lambda segment: segment.first)
        needed.append(best)
        low = best.first
    return needed[::-1]


def make_gather(shardings: PyTree, axis: int) -> Callable:
    """Returns a jitted `gather(ring, end, rows)`: the `rows` rows before row `end`, sharded like the ring."""

    def gather(ring: PyTree, end: jax.Array, rows: int) -> PyTree:
        def take(leaf: jax.Array) -> jax.Array:
            index = (end - rows + jnp.arange(rows)) % leaf.shape[axis]
            return jnp.take(leaf, index, axis=axis)

        return jax.tree.map(take, ring)

    return jax.jit(gather, static_argnums=2, out_shardings=shardings)


@partial(jax.jit, static_argnums=3, donate_argnums=0)
def scatter(ring: PyTree, segment: PyTree, end: jax.Array, axis: int) -> PyTree:
    """Writes a segment to its rows of the ring. Donates the ring.

    Its padding is written too: the ring held these rows when it was saved, and later segments overwrite them.
    """

    def put(leaf: jax.Array, part: jax.Array) -> jax.Array:
        rows = part.shape[axis]
        where = (slice(None),) * axis + ((end - rows + jnp.arange(rows)) % leaf.shape[axis],)
        return leaf.at[where].set(part)

    return jax.tree.map(put, ring, segment)


def _power_of_two_from(number: int) -> int:
    return 1 << (number - 1).bit_length()
