"""A gated recurrent unit unrolled over time, with a custom backward pass on a CPU.

Only the products with the hidden state are sequential. The caller computes the input's products outside the scan. The
gradients of the recurrent weights are computed after the scan, as one large product each; autodiff would accumulate
them step by step inside it. Each of the three gates has a separate array, because slicing one wide array stops XLA from
vectorising the gates on a CPU. `benchmarks/gru.py` compares this with flax's cell.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from limae_jax.networks.backend import prefers_cpu_forms
from limae_jax.networks.linear import Linear


class Gates(NamedTuple):
    """One array for each of the reset gate r, the update gate z and the candidate n."""

    r: jax.Array
    z: jax.Array
    n: jax.Array


# Saved by a step for the backward pass: r, z, n and h W_n + b_n, [R, H] each.
_Saved = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
# The saved arrays of all steps, [T, R, H] each; the states; and the arguments `hidden`, `keep` and `w`.
_Residuals = tuple[_Saved, jax.Array, jax.Array, jax.Array, Gates]


def _sigmoid(x: jax.Array) -> jax.Array:
    """The logistic function computed by tanh, which XLA vectorises better on a CPU."""
    return 0.5 * nn.tanh(0.5 * x) + 0.5


def _step(hidden: jax.Array, inputs: tuple[Gates, jax.Array], w: Gates, bias_n: jax.Array) -> tuple[jax.Array, _Saved]:
    """Computes one step; returns the new hidden state and the arrays for the backward pass."""
    x, keep = inputs
    h = hidden * keep
    r = _sigmoid(x.r + h @ w.r)
    z = _sigmoid(x.z + h @ w.z)
    q = h @ w.n + bias_n
    n = nn.tanh(x.n + r * q)
    return n + z * (h - n), (r, z, n, q)


def gru_scan(x: Gates, hidden: jax.Array, keep: jax.Array, w: Gates, bias_n: jax.Array) -> jax.Array:
    """Computes the hidden states of a GRU over time (Cho et al. 2014, in the form used by PyTorch and flax).

        h = keep_t h_{t-1};  r = s(x_r + h W_r);  z = s(x_z + h W_z);  n = tanh(x_n + r (h W_n + b_n))
        h_t = (1 - z) n + z h

    Args:
        x: [T, R, H] each, input parts of the gates with their biases.
        hidden: [R, H] state before the first step.
        keep: [T, R, 1] 0.0 where an episode starts (the state is reset), else 1.0. Not differentiated.
        w: [H, H] each, recurrent kernels.
        bias_n: [H] bias inside the reset gate.

    Returns:
        [T, R, H] states after each step.
    """

    def body(h: jax.Array, inputs: tuple[Gates, jax.Array]) -> tuple[jax.Array, jax.Array]:
        h, _ = _step(h, inputs, w, bias_n)
        return h, h

    return jax.lax.scan(body, hidden, (x, keep))[1]


# `gru_scan` with the backward pass below.
gru_unroll = jax.custom_vjp(gru_scan)


def _forward(x: Gates, hidden: jax.Array, keep: jax.Array, w: Gates, bias_n: jax.Array) -> tuple[jax.Array, _Residuals]:
    def body(h: jax.Array, inputs: tuple[Gates, jax.Array]) -> tuple[jax.Array, tuple[jax.Array, _Saved]]:
        h, saved = _step(h, inputs, w, bias_n)
        return h, (h, saved)

    _, (states, saved) = jax.lax.scan(body, hidden, (x, keep))
    return states, (saved, states, hidden, keep, w)


def _backward(residuals: _Residuals, grad_states: jax.Array) -> tuple[Gates, jax.Array, None, Gates, jax.Array]:
    (r, z, n, q), states, hidden, keep, w = residuals
    h = jnp.concatenate([hidden[None], states[:-1]]) * keep
    # d(pre-activation) = dh * factor; the factors are not recursive, so they are computed outside the scan.
    to_n = (1 - z) * (1 - n * n)
    to_z = (h - n) * z * (1 - z)
    to_r = to_n * q * r * (1 - r)
    to_q = to_n * r
    transposed = Gates(w.r.T, w.z.T, w.n.T)

    def body(grad_next: jax.Array, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        grad, to_r, to_z, to_q, z, keep = inputs
        dh = grad + grad_next
        through = (dh * to_r) @ transposed.r + (dh * to_z) @ transposed.z + (dh * to_q) @ transposed.n
        return (dh * z + through) * keep, dh

    zeros = jnp.zeros_like(grad_states[0])
    grad_hidden, dh = jax.lax.scan(body, zeros, (grad_states, to_r, to_z, to_q, z, keep), reverse=True)

    def kernel_grad(d: jax.Array) -> jax.Array:
        return jnp.reshape(h, (-1, h.shape[-1])).T @ jnp.reshape(d, (-1, d.shape[-1]))

    d_r, d_z, d_n, d_q = dh * to_r, dh * to_z, dh * to_n, dh * to_q
    grad_w = Gates(kernel_grad(d_r), kernel_grad(d_z), kernel_grad(d_q))
    return Gates(d_r, d_z, d_n), grad_hidden, None, grad_w, jnp.sum(d_q, axis=(0, 1))


gru_unroll.defvjp(_forward, _backward)


class Gru(nn.Module):
    """Parameters of a GRU around `gru_unroll`.

    Attributes:
        hidden_size: H.
    """

    hidden_size: int

    @nn.compact
    def __call__(self, hidden: jax.Array, inputs: jax.Array, is_first: jax.Array) -> jax.Array:
        """Unrolls over time.

        Args:
            hidden: [R, H] state before the first step.
            inputs: [T, R, D].
            is_first: [T, R] bool, True where the state is reset before the step.

        Returns:
            [T, R, H] states after each step.
        """
        size = self.hidden_size
        x = Gates(*(Linear(size, name=f"input_{gate}")(inputs) for gate in Gates._fields))
        orthogonal = nn.initializers.orthogonal()
        w = Gates(*(self.param(f"recurrent_{gate}", orthogonal, (size, size)) for gate in Gates._fields))
        bias_n = self.param("recurrent_bias_n", nn.initializers.zeros, (size,))
        keep = jnp.where(is_first, 0.0, 1.0)[..., None]
        unroll = gru_unroll if prefers_cpu_forms() else gru_scan
        return unroll(x, hidden, keep, w, bias_n)
