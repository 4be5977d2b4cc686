"""The agents' utility network. All agents share one set of parameters; the agent's id is part of the input."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from limae_jax.networks.attention import Beliefs, TeamAttention
from limae_jax.networks.gru import Gru
from limae_jax.networks.linear import Linear, product
from limae_jax.types import Rows

Features = dict[str, jax.Array]


class AgentInputs(struct.PyTreeNode):
    """The network's input, with the whole agent axis, so that a network can mix agents.

    Attributes:
        obs: [T, B, A, O].
        last_action: [T, B, A] int32, -1 at the start of an episode.
        is_first: [T, B] bool.
        beliefs: each agent's reconstruction of the team; None if the network does not use it.
    """

    obs: jax.Array
    last_action: jax.Array
    is_first: jax.Array
    beliefs: Beliefs | None = None

    @classmethod
    def of_step(cls, obs: jax.Array, last_action: jax.Array, is_first: jax.Array) -> AgentInputs:
        """Returns the input of one step, T = 1; an action of the previous episode is dropped.

        Args:
            obs: [B, A, O].
            last_action: [B, A] int32.
            is_first: [B] bool.
        """
        return cls(obs[None], jnp.where(is_first[:, None], -1, last_action)[None], is_first[None])

    @classmethod
    def of_rows(cls, rows: Rows) -> AgentInputs:
        """Returns the inputs along rows, whose stored start has the action before slot 0."""
        before = jnp.concatenate([rows.start.last_action[None], rows.action[:-1]])
        return cls(rows.obs, jnp.where(rows.is_first[..., None], -1, before), rows.is_first)


class InputLayer(nn.Module):
    """relu(W [obs, one-hot last action, one-hot agent id] + b), without the concatenated input.

    With a state, W' state is added to each agent's sum.
    """

    hidden_size: int
    num_actions: int

    @nn.compact
    def __call__(self, inputs: AgentInputs, state: jax.Array | None = None) -> jax.Array:
        """Returns the embedded inputs, [T, B, A, H]; `state` is [T, B, G], the same for all agents."""
        num_agents, obs_size = inputs.obs.shape[-2:]
        width = obs_size + self.num_actions + num_agents
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (width, self.hidden_size))
        bias = self.param("bias", nn.initializers.zeros, (self.hidden_size,))
        of_obs, of_action, of_agent = jnp.split(kernel, (obs_size, obs_size + self.num_actions))
        last_action = jax.nn.one_hot(inputs.last_action, self.num_actions)
        total = product(inputs.obs, of_obs) + product(last_action, of_action) + of_agent + bias
        if state is not None:
            of_state = self.param("state_kernel", nn.initializers.lecun_normal(), (state.shape[-1], self.hidden_size))
            total = total + product(state, of_state)[..., None, :]
        return nn.relu(total)


def recurrent_torso(
    carry: jax.Array, inputs: AgentInputs, hidden_size: int, num_actions: int, state: jax.Array | None = None
) -> jax.Array:
    """Applies `InputLayer` and a GRU, as the submodules "input" and "gru" of the module that calls this.

    Args:
        carry: [B, A, H] recurrent state before the first step.
        inputs: time-major; the start of a team's episode resets every agent's recurrent state.
        hidden_size: H.
        num_actions: U.
        state: [T, B, G] further input; None for none.

    Returns:
        [T, B, A, H] recurrent states after each step.
    """
    num_steps, num_rows, num_agents = inputs.last_action.shape
    folded = (num_steps, num_rows * num_agents)
    embedded = InputLayer(hidden_size, num_actions, name="input")(inputs, state)
    states = Gru(hidden_size, name="gru")(
        jnp.reshape(carry, (folded[1], hidden_size)),
        jnp.reshape(embedded, (*folded, hidden_size)),
        jnp.repeat(inputs.is_first, num_agents, axis=1),
    )
    return jnp.reshape(states, (num_steps, num_rows, num_agents, hidden_size))


class GruAgent(nn.Module):
    """[observation, last action, agent id] -> Dense, relu -> GRU -> Dense -> utilities (PyMARL's RNN agent).

    With a context, Q_i = Linear([GRU(h_i); c_i]) (MA2E): c_i is attention over agent i's reconstruction of its team.

    Attributes:
        num_actions: U.
        hidden_size: H.
        context_size: width of the context; None for no context.
    """

    num_actions: int
    hidden_size: int
    context_size: int | None = None

    @nn.compact
    def __call__(self, carry: jax.Array, inputs: AgentInputs) -> tuple[jax.Array, jax.Array, Features]:
        """Unrolls over time; the start of a team's episode resets every agent's state.

        Args:
            carry: [B, A, H] state before the first step.
            inputs: time-major.

        Returns:
            The state after the last step, utilities q [T, B, A, U], and features: "hidden" [T, B, A, H] and, with a
            context, its "attention" weights [T, B, A, A].
        """
        hidden = recurrent_torso(carry, inputs, self.hidden_size, self.num_actions)
        q = Linear(self.num_actions, name="head")(hidden)
        if self.context_size is None or inputs.beliefs is None:
            return hidden[-1], q, {"hidden": hidden}
        context, weights = TeamAttention(self.context_size, name="team")(inputs.beliefs)
        # The rows of Linear([h; c]) for c, as a separate kernel, so that the other parameters are the same as without
        # a context.
        kernel = self.param("context_head", nn.initializers.lecun_normal(), (self.context_size, self.num_actions))
        return hidden[-1], q + product(context, kernel), {"hidden": hidden, "attention": weights}

    def initial_carry(self, num_rows: int, num_agents: int) -> jax.Array:
        """Returns zeros [B, A, H]."""
        return jnp.zeros((num_rows, num_agents, self.hidden_size))
