"""The auto-encoder's loss. Pure functions, independent of the network."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp


def reconstruction_loss(predicted: jax.Array, target: jax.Array, is_counted: jax.Array) -> jax.Array:
    """Returns the mean squared error over the counted steps and their features (LI-MA2E's L_MAE).

        L = 1/|M| sum_{m in M} 1/F || target_m - predicted_m ||^2

    Args:
        predicted, target: [..., F].
        is_counted: [...] bool, M: the present steps of hidden, living agents.

    Returns:
        []; 0, without gradient, if nothing is counted.
    """
    chex.assert_equal_shape([predicted, target])
    chex.assert_shape(is_counted, target.shape[:-1])
    # Selected before the square, so that the gradient of uncounted steps is 0 whatever their values.
    error = jnp.where(is_counted[..., None], predicted - target, 0.0)
    count = jnp.maximum(jnp.sum(is_counted) * target.shape[-1], 1)
    return jnp.sum(jnp.square(error)) / count
