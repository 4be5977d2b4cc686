import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.losses.reconstruction import reconstruction_loss

# Two windows of two agents, with three features each.
TARGET = jnp.asarray([[[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]], [[5.0, 5.0, 5.0], [1.0, 1.0, 1.0]]])
PREDICTED = jnp.asarray([[[2.0, 0.0, 0.0], [9.0, 9.0, 9.0]], [[5.0, 8.0, 5.0], [1.0, 1.0, 7.0]]])
IS_COUNTED = jnp.asarray([[True, False], [True, False]])

loss_and_gradient = jax.jit(jax.value_and_grad(reconstruction_loss, argnums=(0, 1)))


def test_equals_a_hand_example():
    """Squared errors of what counts: 1 + 0 + 4 and 0 + 9 + 0, over two steps of three features."""
    loss, (of_predicted, of_target) = loss_and_gradient(PREDICTED, TARGET, IS_COUNTED)
    np.testing.assert_allclose(loss, 14 / 6, rtol=1e-6)
    expected = np.zeros(PREDICTED.shape)
    expected[0, 0] = [2 / 6, 0, -4 / 6]
    expected[1, 0] = [0, 6 / 6, 0]
    np.testing.assert_allclose(of_predicted, expected, rtol=1e-6)
    np.testing.assert_allclose(of_target, -expected, rtol=1e-6)


def test_is_the_mean_over_what_is_counted_and_not_over_all():
    one = jnp.zeros((2, 2), bool).at[1, 1].set(True)
    np.testing.assert_allclose(reconstruction_loss(PREDICTED, TARGET, one), 36 / 3, rtol=1e-6)
    both = one.at[0, 0].set(True)
    np.testing.assert_allclose(reconstruction_loss(PREDICTED, TARGET, both), (36 + 5) / 6, rtol=1e-6)


@pytest.mark.parametrize("noise", [0.0, np.nan, np.inf])
def test_nothing_counted_is_0_without_gradient(noise):
    loss, gradients = loss_and_gradient(PREDICTED + noise, TARGET, jnp.zeros((2, 2), bool))
    assert loss == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("noise", [100.0, np.nan, np.inf, 1e30])
def test_what_is_not_counted_does_not_enter(noise):
    expected, expected_gradients = loss_and_gradient(PREDICTED, TARGET, IS_COUNTED)
    outside = jnp.where(IS_COUNTED[..., None], 0.0, noise)
    for predicted, target in [(PREDICTED + outside, TARGET), (PREDICTED, TARGET + outside)]:
        loss, gradients = loss_and_gradient(predicted, target, IS_COUNTED)
        np.testing.assert_array_equal(loss, expected)
        for gradient, wanted in zip(gradients, expected_gradients, strict=True):
            np.testing.assert_array_equal(gradient, wanted)
