import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limae_jax.checkpoints.rows import Segment, needed_segments, plan_segments, ring_capacity, segment_size

MEGABYTE = 2**20


def _rebuild(segments: list[Segment], capacity: int) -> list[int | None]:
    """The row number at each index of the ring, by writing the segments in order."""
    ring: list[int | None] = [None] * capacity
    for segment in segments:
        assert segment.end - segment.first <= segment.rows
        for row in range(segment.first, segment.end):
            ring[row % capacity] = row
    return ring


@settings(deadline=None, max_examples=60)
@given(
    capacity=st.integers(1, 300),
    row_bytes=st.sampled_from([100, MEGABYTE]),
    added=st.lists(st.integers(0, 400), min_size=1, max_size=30),
)
def test_needed_segments_hold_exactly_the_rows_of_the_ring(capacity, row_bytes, added):
    segments, rows_added = [], 0
    for new in added:
        saved, rows_added = rows_added, rows_added + new
        if new:
            size = segment_size(min(new, capacity), capacity, capacity * row_bytes)
            plan = plan_segments(saved, rows_added, capacity, size)
            segments += [Segment(str(i), size, first, end) for i, (first, end) in enumerate(plan)]
        segments = needed_segments(segments, rows_added, capacity)
        wanted: list[int | None] = [None] * capacity
        for row in range(max(0, rows_added - capacity), rows_added):
            wanted[row % capacity] = row
        assert _rebuild(segments, capacity) == wanted


def test_rows_that_trickle_in_do_not_pile_up_segments():
    capacity, segments = 1000, []
    for rows_added in range(1, 2500):
        size = segment_size(1, capacity, capacity * MEGABYTE)
        plan = plan_segments(rows_added - 1, rows_added, capacity, size)
        segments += [Segment("", size, first, end) for first, end in plan]
        segments = needed_segments(segments, rows_added, capacity)
        assert len(segments) <= 140


def test_few_sizes_and_none_above_a_sixteenth_of_a_large_ring():
    sizes = {segment_size(new, 1500, 1500 * MEGABYTE) for new in range(1, 1501)}
    assert sizes == {16, 32, 64}


def test_a_small_ring_is_one_segment():
    assert segment_size(20, 24, 5000) == 24


def test_rings_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"\[3, 4\]"):
        ring_capacity([np.zeros((1, 3)), np.zeros((1, 4, 2))], axis=1)
