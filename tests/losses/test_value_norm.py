import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.losses.value_norm import ValueNorm

RETURNS = np.random.default_rng(0).normal(3.0, 5.0, size=(7, 4)).astype(np.float32)
COUNTS = np.random.default_rng(1).random((7, 4)) < 0.7


def test_after_one_batch_the_statistics_are_those_of_its_samples():
    for decay in (0.5, 0.999, 0.99999):
        mean, deviation = ValueNorm.start().updated(RETURNS, COUNTS, decay).moments()
        assert float(mean) == pytest.approx(RETURNS[COUNTS].mean(), rel=1e-4)
        assert float(deviation) == pytest.approx(RETURNS[COUNTS].std(), rel=1e-4)


def test_older_batches_count_less():
    norm = ValueNorm.start()
    for level in (1.0, 2.0, 4.0):
        norm = norm.updated(jnp.full(3, level), np.ones(3, bool), 0.5)
    # Weights 1/8, 1/4, 1/2, together 7/8.
    assert float(norm.moments()[0]) == pytest.approx((0.125 + 0.5 + 2.0) / 0.875)


def test_there_and_back():
    norm = ValueNorm.start().updated(RETURNS, COUNTS, 0.99)
    np.testing.assert_allclose(norm.denormalise(norm.normalise(RETURNS)), RETURNS, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.normalise(norm.denormalise(RETURNS)), RETURNS, rtol=1e-4, atol=1e-5)
    inside = np.asarray(norm.normalise(RETURNS))[COUNTS]
    assert inside.mean() == pytest.approx(0.0, abs=1e-5) and inside.std() == pytest.approx(1.0, rel=1e-4)


def test_what_does_not_count_changes_nothing():
    other = np.where(COUNTS, RETURNS, np.inf)
    one, two = (ValueNorm.start().updated(x, COUNTS, 0.9) for x in (RETURNS, other))
    for name in ("mean", "square", "weight"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    empty = one.updated(RETURNS, np.zeros_like(COUNTS), 0.9)
    assert (empty.mean, empty.square, empty.weight) == (one.mean, one.square, one.weight)


def test_before_the_first_return_and_with_equal_returns_values_stay_moderate():
    np.testing.assert_array_equal(ValueNorm.start().normalise(RETURNS), RETURNS)
    same = ValueNorm.start().updated(jnp.full(3, 2.0), np.ones(3, bool), 0.9)
    assert float(same.moments()[1]) == pytest.approx(0.1, rel=1e-3)
