"""QPLEX's mixer: duplex dueling, which represents all value functions consistent with the agents' greedy actions."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from limae_jax.networks.linear import Linear
from limae_jax.networks.mixers.base import MixerInputs

# Keeps weights above zero, as in the authors' code: an agent with zero weight would learn nothing.
_SMALLEST = 1e-10


class _HeadsMlp(nn.Module):
    """A separate MLP for each head: x [..., D] -> [..., K, E].

    Attributes:
        num_heads: K.
        hidden_dim: width of the hidden layers.
        num_layers: number of layers, including the last.
        output_dim: E.
    """

    num_heads: int
    hidden_dim: int
    num_layers: int
    output_dim: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = self.hidden_dim if self.num_layers > 1 else self.output_dim
        # The first layers of all heads have the same input, so they are one product.
        y = Linear(self.num_heads * width, name="layer_0")(x)
        y = jnp.reshape(y, (*y.shape[:-1], self.num_heads, width))
        for layer in range(1, self.num_layers):
            is_last = layer == self.num_layers - 1
            per_head = nn.vmap(
                Linear, in_axes=-2, out_axes=-2, variable_axes={"params": 0}, split_rngs={"params": True}
            )
            y = per_head(self.output_dim if is_last else self.hidden_dim, name=f"layer_{layer}")(nn.relu(y))
        return y


class QplexMixer(nn.Module):
    """Duplex dueling (Wang et al. 2021, eqs. 7 to 12), as in the authors' code.

        Q~_i(a) = w_i(s) Q_i(a) + v_i(s)          w_i = |MLP(s)| > 0
        Q_tot = sum_i Q~_i(a_i) + sum_i (lambda_i(s, a) - 1) sg[w_i (Q_i(a_i) - max_{legal a} Q_i(a))]
        lambda_i(s, a) = sum_k |key_k(s)| sigmoid(agent_k(s)_i) sigmoid(action_k(s, a)_i) > 0

    sg stops the gradient. With A_i = w_i (Q_i(a_i) - max Q_i) <= 0 this is Q_tot = V_tot(s) + sum_i lambda_i A_i, which
    is largest where every agent is greedy, for any lambda > 0.

    Attributes:
        hypernet_dim: hidden width of all networks of the mixer.
        num_heads: K.
        num_layers: number of layers of the networks of lambda.
        num_actions: U.
    """

    hypernet_dim: int
    num_heads: int
    num_layers: int
    num_actions: int

    @nn.compact
    def __call__(self, inputs: MixerInputs) -> jax.Array:
        """Returns Q_tot [T, B] of the agents' chosen and best utilities."""
        w, v = self._transformation(inputs.state, inputs.chosen_q.shape[-1])
        values = jnp.sum(w * inputs.chosen_q + v, axis=-1)
        # v cancels.
        advantage = jax.lax.stop_gradient(w * (inputs.chosen_q - inputs.best_q))
        return values + jnp.sum((self._importance(inputs) - 1.0) * advantage, axis=-1)

    def _transformation(self, state: jax.Array, num_agents: int) -> tuple[jax.Array, jax.Array]:
        """Returns w and v, [T, B, A] each."""

        def mlp(name: str) -> jax.Array:
            return Linear(num_agents, name=name)(nn.relu(Linear(self.hypernet_dim, name=f"{name}_hidden")(state)))

        return jnp.abs(mlp("w")) + _SMALLEST, mlp("v")

    def _importance(self, inputs: MixerInputs) -> jax.Array:
        """Returns lambda, [T, B, A]."""
        num_agents = inputs.chosen_q.shape[-1]
        action = jax.nn.one_hot(inputs.action, self.num_actions)
        joint = jnp.reshape(action, (*action.shape[:-2], num_agents * self.num_actions))

        def heads(name: str, output: int, x: jax.Array) -> jax.Array:
            return _HeadsMlp(self.num_heads, self.hypernet_dim, self.num_layers, output, name=name)(x)

        key = jnp.abs(heads("key", 1, inputs.state)) + _SMALLEST
        agent = nn.sigmoid(heads("agent", num_agents, inputs.state))
        of_action = nn.sigmoid(heads("action", num_agents, jnp.concatenate([inputs.state, joint], axis=-1)))
        return jnp.sum(key * agent * of_action, axis=-2)
