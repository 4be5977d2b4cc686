"""QMIX's mixer."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from limae_jax.networks.backend import prefers_cpu_forms
from limae_jax.networks.linear import Linear
from limae_jax.networks.mixers.base import MixerInputs


class QmixMixer(nn.Module):
    """Monotone mixing with weights from hypernetworks (Rashid et al. 2018, section 4).

        Q_tot = ELU(q |W1(s)| + b1(s)) |W2(s)| + b2(s)

    so that dQ_tot/dQ_i >= 0.

    Attributes:
        embed_dim: E, width of the mixing layer.
        hypernet_dim: hidden width of the hypernetworks of W1 and W2.
    """

    embed_dim: int
    hypernet_dim: int

    @nn.compact
    def __call__(self, inputs: MixerInputs) -> jax.Array:
        """Returns Q_tot [T, B] of the agents' chosen utilities."""
        chosen_q, state = inputs.chosen_q, inputs.state
        num_agents = chosen_q.shape[-1]

        def hypernet(name: str, hidden: int, output: int) -> jax.Array:
            inner = nn.relu(Linear(hidden, name=f"{name}_hidden")(state))
            return Linear(output, name=name)(inner)

        w1 = jnp.abs(hypernet("w1", self.hypernet_dim, num_agents * self.embed_dim))
        w1 = jnp.reshape(w1, (*w1.shape[:-1], num_agents, self.embed_dim))
        w2 = jnp.abs(hypernet("w2", self.hypernet_dim, self.embed_dim))
        b1 = Linear(self.embed_dim, name="b1")(state)
        b2 = hypernet("b2", self.embed_dim, 1)[..., 0]
        hidden = nn.elu(_rows_product(chosen_q, w1) + b1)
        return jnp.sum(hidden * w2, axis=-1) + b2


def _rows_product(x: jax.Array, kernels: jax.Array) -> jax.Array:
    """Returns x [..., A] times kernels [..., A, E], one for each row: [..., E]."""
    if prefers_cpu_forms():
        # XLA fuses this sum; a batched product of this size is slower.
        return jnp.sum(x[..., None] * kernels, axis=-2)
    return jnp.einsum("...a,...ae->...e", x, kernels)
