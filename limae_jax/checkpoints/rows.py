"""How a replay ring is cut into segments of rows for saving, and put together again.

Row n, counted from when the ring was last empty, lives at index n % C of a ring of C rows. A segment holds `rows` rows
up to row `end`; those before `first` are padding. Segments have a few sizes only, because each size is a compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from limae_jax.types import PyTree

# Bounds of a segment. The fraction of the ring bounds the memory that a save needs on top of the state; small rings
# need not be spared. The other bounds the number of segments, which a restore opens one by one.
_LARGEST_FRACTION = 16
_LARGEST_BYTES = 32 * 2**20
_MOST_SEGMENTS = 128


@dataclass(frozen=True)
class Segment:
    """Rows [first, end) of a ring, in a folder of `rows` rows of which row `end` - 1 is the last."""

    name: str
    rows: int
    first: int
    end: int


def ring_capacity(ring: PyTree, axis: int) -> int:
    """C, the same for all leaves; 0 for a tree without leaves.

    Raises:
        ValueError: the leaves disagree.
    """
    sizes = {leaf.shape[axis] for leaf in jax.tree.leaves(ring)}
    if len(sizes) > 1:
        raise ValueError(f"the ring's leaves differ in their number of rows: {sorted(sizes)}")
    return sizes.pop() if sizes else 0


def segment_size(new_rows: int, capacity: int, ring_bytes: int) -> int:
    """Rows of a segment: the power of two that takes all new rows, within the bounds above.

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
    """(first, end) of the segments of `size` rows that hold rows [saved, rows_added), as far as the ring still does.

    Oldest first; together they end at `rows_added`.
    """
    oldest = max(0, rows_added - capacity)
    plan = []
    end = rows_added
    while end > max(saved, oldest):
        plan.append((max(end - size, oldest), end))
        end -= size
    return plan[::-1]


def needed_segments(segments: list[Segment], rows_added: int, capacity: int) -> list[Segment]:
    """The fewest of `segments` that hold every row of the ring after `rows_added` rows; oldest first."""
    needed = []
    low = rows_added
    while low > max(0, rows_added - capacity):
        reaching = [segment for segment in segments if segment.end >= low > segment.first]
        best = min(reaching, key=lambda segment: segment.first)
        needed.append(best)
        low = best.first
    return needed[::-1]


def make_gather(shardings: PyTree, axis: int) -> Callable:
    """A jitted `gather(ring, end, rows)`: the `rows` rows before row `end`, sharded as the ring is."""

    def gather(ring: PyTree, end: jax.Array, rows: int) -> PyTree:
        def take(leaf: jax.Array) -> jax.Array:
            index = (end - rows + jnp.arange(rows)) % leaf.shape[axis]
            return jnp.take(leaf, index, axis=axis)

        return jax.tree.map(take, ring)

    return jax.jit(gather, static_argnums=2, out_shardings=shardings)


@partial(jax.jit, static_argnums=3, donate_argnums=0)
def scatter(ring: PyTree, segment: PyTree, end: jax.Array, axis: int) -> PyTree:
    """Puts a segment where its rows live in the ring. Donates the ring.

    Its padding goes back too: it is what the ring held there at that time, and later segments hold what came after.
    """

    def put(leaf: jax.Array, part: jax.Array) -> jax.Array:
        rows = part.shape[axis]
        where = (slice(None),) * axis + ((end - rows + jnp.arange(rows)) % leaf.shape[axis],)
        return leaf.at[where].set(part)

    return jax.tree.map(put, ring, segment)


def _power_of_two_from(number: int) -> int:
    return 1 << (number - 1).bit_length()
