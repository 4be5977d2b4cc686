"""Recurrent networks of policies and of critics: one torso, and a head for each output."""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from limae_jax.networks.agent import AgentInputs, recurrent_torso
from limae_jax.networks.linear import Linear


class Head(NamedTuple):
    """A linear output.

    Attributes:
        name: of the output.
        size: E.
        gain: scale of its orthogonal initial weights; a small one makes the first policy nearly uniform.
    """

    name: str
    size: int
    gain: float


class RecurrentHeads(nn.Module):
    """[observation, last action, agent id, and maybe the state] -> Dense, relu -> GRU -> heads.

    All agents share the parameters; the agent's id is part of the input.

    Attributes:
        num_actions: U.
        hidden_size: H.
        heads: outputs.
        reads_state: whether the global state is an input too: right for a critic, wrong for a policy, which has to act
            without it.
    """

    num_actions: int
    hidden_size: int
    heads: tuple[Head, ...]
    reads_state: bool = False

    @nn.compact
    def __call__(
        self, carry: jax.Array, inputs: AgentInputs, state: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Unrolls over time; the start of a team's episode resets every agent's recurrent state.

        Args:
            carry: [B, A, H] recurrent state before the first step.
            inputs: time-major.
            state: [T, B, G] global state, normalised here over its features; ignored unless `reads_state`.

        Returns:
            The recurrent state after the last step, and name -> output [T, B, A, E] of each head.
        """
        scaled = nn.LayerNorm(use_bias=False, use_scale=False)(state) if self.reads_state else None
        hidden = recurrent_torso(carry, inputs, self.hidden_size, self.num_actions, scaled)
        outputs = {
            head.name: Linear(head.size, nn.initializers.orthogonal(head.gain), name=head.name)(hidden)
            for head in self.heads
        }
        return hidden[-1], outputs

    def initial_carry(self, num_rows: int, num_agents: int) -> jax.Array:
        """Returns zeros [B, A, H]."""
        return jnp.zeros((num_rows, num_agents, self.hidden_size))
