"""Running mean and variance of the features that the auto-encoder reads and reconstructs.

Features differ in variance by orders of magnitude; unscaled, the squared error is about the few largest. The
statistics lie beside the auto-encoder's parameters, so acting, target copies, checkpoints and exported teams have them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

# Weight of a batch once this many have been seen; before that, all batches have equal weights. A smaller one keeps the
# statistics of random play while the team learns, and what it never did before then weighs a hundredfold.
_SLOWEST = 1e-2
# Inputs of the auto-encoder are limited to so many standard deviations: what was rare so far must not drown the rest.
_LARGEST_INPUT = 5.0
# Features (in [-1, 1]) with a smaller variance are scaled as if they had this one: their noise must not dominate.
_MIN_VARIANCE = 1e-3

Scale = dict[str, jax.Array]


def initial_scale(num_features: int) -> Scale:
    """Returns the scale before the first batch, which changes nothing: "mean", "variance" [F] and "batches" []."""
    return {"mean": jnp.zeros(num_features), "variance": jnp.ones(num_features), "batches": jnp.zeros(())}


def updated_scale(scale: Scale, values: jax.Array, is_counted: jax.Array) -> Scale:
    """Returns the scale after one more batch; unchanged if nothing is counted.

    Args:
        scale: of the batches so far.
        values: [..., F].
        is_counted: [...] bool.
    """
    axes = tuple(range(is_counted.ndim))
    count = jnp.sum(is_counted)

    def average(x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(is_counted[..., None], x, 0.0), axis=axes) / jnp.maximum(count, 1)

    mean = average(values)
    variance = average(jnp.square(values - mean))
    weight = jnp.where(count > 0, jnp.maximum(1.0 / (scale["batches"] + 1.0), _SLOWEST), 0.0)
    # Mean and variance of the mixture of the two distributions.
    shift = mean - scale["mean"]
    return {
        "mean": scale["mean"] + weight * shift,
        "variance": (1 - weight) * (scale["variance"] + weight * jnp.square(shift)) + weight * variance,
        "batches": scale["batches"] + (count > 0),
    }


def deviation(scale: Scale) -> jax.Array:
    """Returns the standard deviations [F] by which features are divided."""
    return jnp.sqrt(jnp.maximum(scale["variance"], _MIN_VARIANCE))


def standardise(scale: Scale, values: jax.Array) -> jax.Array:
    """Returns values [..., F] minus their means, in standard deviations."""
    return (values - scale["mean"]) / deviation(scale)


def standardised_input(scale: Scale, values: jax.Array) -> jax.Array:
    """Returns values [..., F] in standard deviations from their means, within +-5."""
    return jnp.clip(standardise(scale, values), -_LARGEST_INPUT, _LARGEST_INPUT)
