import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limae_jax.masking.scores import MaskUnits, above_mean, agent_mean, highest

pytestmark = pytest.mark.slow

T, B, A, L = 5, 2, 3, 2

choose = jax.jit(above_mean, static_argnums=2)
scores = st.lists(st.floats(0, 1e4, width=32), min_size=4, max_size=4)


def _slots(unit: str) -> list[list[tuple[int, int]]]:
    """The slots (t, b) of every group."""
    if unit == "batch":
        return [[(t, b) for t in range(T) for b in range(B)]]
    if unit == "row":
        return [[(t, b) for t in range(T)] for b in range(B)]
    return [[(t, b) for t in window] for window in ((0, 1), (2, 3), (4,)) for b in range(B)]


@pytest.mark.parametrize("unit", ["batch", "row", "step"])
def test_groups_cover_the_slots_they_should(unit):
    values = np.random.default_rng(0).normal(size=(T, B, A)).astype(np.float32)
    units = MaskUnits(unit, L)
    sums = units.sum(values)
    assert sums.shape == (*units.shape(T, B), A)
    at_slots = units.spread(sums, T, B)
    assert at_slots.shape == (T, B, A)
    for slots in _slots(unit):
        expected = sum(values[t, b] for t, b in slots)
        for t, b in slots:
            np.testing.assert_allclose(at_slots[t, b], expected, rtol=1e-5, atol=1e-5)


def test_a_window_longer_than_the_row_is_the_row():
    values = jnp.arange(6.0).reshape(3, 1, 2)
    np.testing.assert_array_equal(MaskUnits("step", 7).sum(values), [[[6.0, 9.0]]])
    np.testing.assert_array_equal(MaskUnits("step", 7).spread(jnp.ones((1, 1, 2)), 3, 1), jnp.ones((3, 1, 2)))


@pytest.mark.parametrize("unit", ["batch", "row", "step"])
def test_agent_mean_equals_a_loop(unit):
    generator = np.random.default_rng(1)
    values = generator.normal(size=(T, B, A)).astype(np.float32)
    is_counted = generator.random((T, B, A)) < 0.5
    weight = generator.random((T, B, 1)).astype(np.float32) + 0.1
    units = MaskUnits(unit, L)
    means = units.spread(agent_mean(np.where(is_counted, values, np.nan), is_counted, units, weight), T, B)
    for slots in _slots(unit):
        mean = {}
        for a in range(A):
            counted = [(t, b) for t, b in slots if is_counted[t, b, a]]
            if counted:
                total = sum(values[t, b, a] * weight[t, b, 0] for t, b in counted)
                mean[a] = total / sum(weight[t, b, 0] for t, b in counted)
        others = np.mean([*mean.values()]) if mean else 0.0
        for t, b in slots:
            np.testing.assert_allclose(means[t, b], [mean.get(a, others) for a in range(A)], rtol=1e-4, atol=1e-5)


def test_an_agent_that_never_counts_gets_the_mean_of_the_others_means():
    values = jnp.asarray([[1.0, 4.0, 99.0], [3.0, 99.0, 99.0]])[:, None]
    is_counted = jnp.asarray([[True, True, False], [True, False, False]])[:, None]
    # Of the others' means, 2 and 4; not of what counts, 1, 3 and 4.
    np.testing.assert_allclose(agent_mean(values, is_counted, MaskUnits("batch", 1))[0, 0], [2.0, 4.0, 3.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e38])
def test_nothing_counts(bad):
    mean = agent_mean(jnp.full((2, 1, 3), bad), jnp.zeros((2, 1, 3), bool), MaskUnits("row", 1))
    np.testing.assert_array_equal(mean, jnp.zeros((1, 1, 3)))


def test_highest():
    score = jnp.asarray([[1.0, 3.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0], [jnp.nan, -1.0, jnp.nan, 5.0]])
    np.testing.assert_array_equal(highest(score, 0), np.zeros((3, 4), bool))
    np.testing.assert_array_equal(highest(score, 1), [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(highest(score, 3), [[0, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 1]])
    number = jnp.asarray([[2], [1], [0]])
    np.testing.assert_array_equal(highest(score, number), [[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    tie_break = jnp.asarray([9.0, 1.0, 2.0, 9.0])
    np.testing.assert_array_equal(highest(score, 1, tie_break), [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("score", "tolerance", "top_k", "expected", "is_fallback"),
    [
        # theta 2.5
        ([1.0, 2.0, 3.0, 4.0], 0.0, 1, [0, 0, 1, 1], False),
        ([1.0, 2.0, 3.0, 4.0], 0.3, 1, [0, 0, 0, 1], False),
        # theta 3: exactly at it is not above it.
        ([1.0, 3.0, 5.0], 0.0, 1, [0, 0, 1], False),
        # theta 1 and limit 1.5: 1.5 does not exceed it, so the top two are hidden.
        ([0.5, 1.5, 1.0, 1.0], 0.5, 2, [0, 1, 1, 0], True),
        # Ties: all equal, then the two highest.
        ([2.0, 2.0, 2.0], 0.02, 1, [1, 0, 0], True),
        ([2.0, 2.0, 2.0], 0.02, 2, [1, 1, 0], True),
        ([2.0, 2.0, 2.0], 0.02, 5, [1, 1, 0], True),
        ([1.0, 4.0, 4.0], 0.02, 1, [0, 1, 1], False),
        ([0.0, 0.0, 0.0], 0.0, 1, [1, 0, 0], True),
        # Within the tolerance: theta 1.01, limit 1.0302.
        ([1.0, 1.0, 1.03], 0.02, 2, [1, 0, 1], True),
        ([1.0, 1.0, 1.03], 0.0, 2, [0, 0, 1], False),
        # One agent.
        ([3.0], 0.0, 1, [0], False),
        ([0.0], 0.02, 4, [0], False),
        # A learner that diverged.
        ([np.nan, 1.0, 2.0], 0.02, 1, [0, 0, 1], True),
        ([np.nan, np.nan], 0.02, 1, [1, 0], True),
        ([np.inf, 1.0], 0.02, 1, [1, 0], True),
    ],
)
def test_above_mean_by_hand(score, tolerance, top_k, expected, is_fallback):
    is_hidden, fallback = choose(jnp.asarray(score), tolerance, top_k)
    np.testing.assert_array_equal(is_hidden, expected)
    assert is_hidden.dtype == bool and bool(fallback) is is_fallback


def test_every_group_decides_by_itself():
    score = jnp.asarray([[[1.0, 3.0]], [[300.0, 100.0]], [[7.0, 7.0]]])
    is_hidden, fallback = choose(score, 0.02, 1)
    np.testing.assert_array_equal(is_hidden, [[[0, 1]], [[1, 0]], [[1, 0]]])
    np.testing.assert_array_equal(fallback, [[0], [0], [1]])


@settings(deadline=None, max_examples=60)
@given(score=scores, tolerance=st.sampled_from([0.0, 0.02, 0.5]), top_k=st.sampled_from([1, 2, 9]))
def test_above_mean_hides_someone_but_not_all(score, tolerance, top_k):
    is_hidden, _ = choose(jnp.asarray(score, jnp.float32), tolerance, top_k)
    assert 1 <= is_hidden.sum() <= 3


@settings(deadline=None, max_examples=60)
@given(value=st.floats(2.0**-100, 2.0**100, width=32), num_agents=st.sampled_from([3, 5, 9]))
def test_equal_errors_are_never_above_their_rounded_mean(value, num_agents):
    is_hidden, fallback = choose(jnp.full(num_agents, value, jnp.float32), 0.0, 1)
    assert fallback and is_hidden.sum() == 1


@pytest.mark.parametrize("num_agents", [5, 9])
def test_a_mean_that_is_rounded_down_hides_not_everyone(num_agents):
    score = jnp.linspace(0.1, 1.0, 2000, dtype=jnp.float32)[:, None] * jnp.ones(num_agents)
    is_hidden, _ = choose(score, 0.0, 1)
    assert is_hidden.sum(-1).max() == 1


@settings(deadline=None, max_examples=60)
@given(score=scores, exponent=st.integers(-40, 40), tolerance=st.sampled_from([0.0, 0.02]))
def test_scale_does_not_matter(score, exponent, tolerance):
    # Powers of two: no rounding. What would become denormal does not scale.
    score = np.where(np.asarray(score) < 1e-10, 0.0, score).astype(np.float32)
    expected = choose(score, tolerance, 1)[0]
    np.testing.assert_array_equal(choose(score * np.float32(2.0**exponent), tolerance, 1)[0], expected)


@settings(deadline=None, max_examples=60)
@given(
    score=st.lists(st.integers(0, 1000), min_size=4, max_size=4, unique=True),
    order=st.permutations(range(4)),
    tolerance=st.sampled_from([0.0, 0.02, 3.0]),
)
def test_permuting_agents_permutes_the_mask(score, order, tolerance):
    # Whole numbers: their sum does not depend on its order.
    score, order = np.asarray(score, np.float32), np.asarray(order)
    expected = np.asarray(choose(score, tolerance, 2)[0])[order]
    np.testing.assert_array_equal(choose(score[order], tolerance, 2)[0], expected)
