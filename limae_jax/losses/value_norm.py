"""Running statistics of the returns, so that a critic predicts numbers around 0 and 1 whatever the reward's scale."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from limae_jax.losses.td import masked_mean

# Returns that hardly vary are not blown up.
_LEAST_VARIANCE = 1e-2


class ValueNorm(struct.PyTreeNode):
    """Moving averages of the returns and of their squares, which start at 0 (Yu et al. 2022, appendix).

    Attributes:
        mean, square: [] averages, too small by the factor `weight`.
        weight: [] 1 - decay ^ (number of updates), which corrects for the start at 0 (Kingma & Ba 2015).
    """

    mean: jax.Array
    square: jax.Array
    weight: jax.Array

    @classmethod
    def start(cls) -> ValueNorm:
        """Returns the statistics before any return, which change no value."""
        return cls(*(jnp.zeros(()) for _ in range(3)))

    def updated(self, returns: jax.Array, counts: jax.Array, decay: float | jax.Array) -> ValueNorm:
        """Returns the statistics after a batch; a batch in which nothing counts leaves them as they are.

        Args:
            returns, counts: of the same shape.
            decay: share of the old statistics that stays.
        """
        share = jnp.where(jnp.any(counts), 1.0 - decay, 0.0)

        def moved(old: jax.Array, new: jax.Array | float) -> jax.Array:
            return old + share * (new - old)

        mean, square = masked_mean(returns, counts), masked_mean(jnp.square(returns), counts)
        return ValueNorm(moved(self.mean, mean), moved(self.square, square), moved(self.weight, 1.0))

    def moments(self) -> tuple[jax.Array, jax.Array]:
        """Returns the mean [] and the standard deviation [] of the returns so far; 0 and 1 before the first."""
        has_seen = self.weight > 0
        weight = jnp.where(has_seen, self.weight, 1.0)
        mean = self.mean / weight
        variance = jnp.maximum(self.square / weight - jnp.square(mean), _LEAST_VARIANCE)
        return mean, jnp.sqrt(jnp.where(has_seen, variance, 1.0))

    def normalise(self, values: jax.Array) -> jax.Array:
        """Returns returns [...] in the critic's units."""
        mean, deviation = self.moments()
        return (values - mean) / deviation

    def denormalise(self, values: jax.Array) -> jax.Array:
        """Returns the critic's values [...] in units of the scaled reward."""
        mean, deviation = self.moments()
        return values * deviation + mean
