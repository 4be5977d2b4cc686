"""Running statistics of features against those of all values at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.systems.feature_scale import deviation, initial_scale, standardise, standardised_input, updated_scale

VALUES = np.random.default_rng(0).normal([1.0, -2.0, 0.0], [0.5, 3.0, 0.0], (40, 6, 3)).astype(np.float32)
EVERYWHERE = np.ones(VALUES.shape[:2], bool)


def _after(batches, counted) -> dict:
    scale = initial_scale(VALUES.shape[-1])
    for values, is_counted in zip(batches, counted, strict=True):
        scale = updated_scale(scale, values, is_counted)
    return scale


def test_equal_batches_have_the_statistics_of_all_values():
    scale = _after(VALUES, EVERYWHERE)
    np.testing.assert_allclose(scale["mean"], VALUES.mean((0, 1)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scale["variance"], VALUES.var((0, 1)), rtol=1e-3, atol=1e-6)
    assert scale["batches"] == 40


def test_what_is_not_counted_changes_nothing():
    counted = EVERYWHERE.copy()
    counted[:, 3:] = counted[7] = False
    spoilt = np.where(counted[..., None], VALUES, np.nan)
    scale = _after(spoilt, counted)
    kept = VALUES[np.arange(40) != 7, :3]
    np.testing.assert_allclose(scale["mean"], kept.mean((0, 1)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scale["variance"], kept.var((0, 1)), rtol=1e-3, atol=1e-6)
    assert scale["batches"] == 39


def test_old_batches_fade():
    scale = initial_scale(1) | {"batches": jnp.full((), 1e6)}
    step = jax.jit(lambda scale: updated_scale(scale, jnp.ones((4, 1)), jnp.ones(4, bool)))
    for _ in range(100):
        scale = step(scale)
    # Of the first mean, 0, 0.99 ** 100 is left.
    assert scale["mean"][0] == pytest.approx(1 - 0.99**100, abs=1e-3)


def test_the_first_scale_changes_nothing_and_constants_are_not_blown_up():
    np.testing.assert_array_equal(standardise(initial_scale(3), VALUES), VALUES)
    scale = _after(VALUES, EVERYWHERE)
    scaled = standardise(scale, VALUES)
    np.testing.assert_allclose(scaled.std((0, 1)), [1, 1, 0], atol=1e-3)
    np.testing.assert_allclose(scaled.mean((0, 1)), 0, atol=1e-3)
    assert deviation(scale)[2] == pytest.approx(0.001**0.5)


def test_inputs_are_limited_and_targets_are_not():
    scale = initial_scale(2) | {"mean": jnp.asarray([1.0, 0.0]), "variance": jnp.asarray([4.0, 1e-9])}
    # The second feature is scaled as if its variance were 0.001.
    least = 0.001**0.5
    values = jnp.asarray([[2.0, 2 * least], [21.0, -1.0]])
    np.testing.assert_allclose(standardised_input(scale, values), [[0.5, 2.0], [5.0, -5.0]], rtol=1e-5)
    np.testing.assert_allclose(standardise(scale, values), [[0.5, 2.0], [10.0, -1 / least]], rtol=1e-5)
