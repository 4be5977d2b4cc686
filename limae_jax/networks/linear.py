"""A dense layer whose weight gradient is a single product.

Autodiff computes the gradient of x @ W as the transpose of a product, for which XLA's CPU backend first copies the
large array of gradients into another layout. The explicit form x^T g needs no copy.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from limae_jax.networks.backend import prefers_cpu_forms


@jax.custom_vjp
def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns x [..., D] times kernel [D, E], [..., E]."""
    return x @ kernel


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return x @ kernel, (x, kernel)


def _backward(saved: tuple[jax.Array, jax.Array], grad: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    flat_x, flat_grad = jnp.reshape(x, (-1, x.shape[-1])), jnp.reshape(grad, (-1, grad.shape[-1]))
    return grad @ kernel.T, flat_x.T @ flat_grad


product.defvjp(_forward, _backward)


class Linear(nn.Module):
    """flax's Dense; uses `product` on a CPU.

    Attributes:
        features: E.
        kernel_init: initialiser of the kernel.
    """

    features: int
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x [..., D] to [..., E]."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return (product(x, kernel) if prefers_cpu_forms() else x @ kernel) + bias
