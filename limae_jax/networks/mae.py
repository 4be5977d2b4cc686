"""The masked auto-encoder over agents' trajectories (MA2E, Kang et al. 2025), with whole agents hidden.

A token is one (agent, step): E = Linear([observation, one-hot previous action]) + code(agent); the attention adds a
code for each step back. The encoder reads the visible agents' tokens only, and summarises each agent's window in the
token of its last step. The decoder has a query for each (agent, step) to reconstruct: the encoder's output for a
visible agent, a learned [MASK] token for a hidden one, plus codes for agent and step. Queries attend to each other and
to the encoder's output for the visible agents. A linear head without bias reconstructs the observation and the action;
a second one, if the network has it, predicts whether the agent is alive and which action it takes next.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from limae_jax.networks.linear import Linear, product
from limae_jax.networks.transformer import (
    EncoderLayer,
    FeedForward,
    attend_shared,
    head_sums,
    position_code,
    split_reach,
)
from limae_jax.networks.windows import Stretch


def other_agents(num_agents: int) -> np.ndarray:
    """Returns the indices of each agent's team-mates in order, [A, A - 1]."""
    everyone = np.arange(num_agents)
    return np.stack([np.delete(everyone, agent) for agent in everyone])


class DecoderLayer(nn.Module):
    """Self-attention among the queries of a slot, cross-attention to the visible tokens, feed-forward.

    Attributes:
        width: D.
        num_heads: number of attention heads.
        mlp_ratio: see `FeedForward`.
    """

    width: int
    num_heads: int
    mlp_ratio: int = 4

    def setup(self) -> None:
        """Makes the layers; flax calls it."""
        self.norm = nn.LayerNorm()
        self.query, self.key, self.value, self.out = (Linear(self.width) for _ in range(4))
        self.cross_norm = nn.LayerNorm()
        self.cross_query, self.cross_key, self.cross_value, self.cross_out = (Linear(self.width) for _ in range(4))
        self.feed_forward = FeedForward(self.width, self.mlp_ratio)

    def __call__(self, x: jax.Array, is_present: jax.Array, memory: jax.Array, is_visible: jax.Array) -> jax.Array:
        """Applies the layer.

        Args:
            x: [..., Q, D] queries.
            is_present: [..., Q] bool, queries that may be attended to.
            memory: [..., A, D] the encoder's output.
            is_visible: [..., A] bool, agents whose memory may be attended to.
        """
        normed = self.norm(x)
        mixed = attend_shared(self.query(normed), self.key(normed), self.value(normed), is_present, self.num_heads)
        x = x + self.out(mixed)
        query = self.cross_query(self.cross_norm(x))
        seen = attend_shared(query, self.cross_key(memory), self.cross_value(memory), is_visible, self.num_heads)
        x = x + self.cross_out(seen)
        return self.feed_forward(x)

    def of_hidden(self, hidden: jax.Array, own: jax.Array, memory: jax.Array) -> jax.Array:
        """Applies the first layer to the A - 1 hidden team-mates of one visible agent: a cheaper `__call__`.

        The hidden queries are the same in every slot, so only the weight of the visible agent's key is computed per
        slot; and cross-attention to a single token returns that token's value.

        Args:
            hidden: [A, D] each agent's query when it is hidden.
            own: [..., A, D] each agent's query when it is the visible one.
            memory: [..., A, D] the encoder's output for each agent, from its own tokens only.

        Returns:
            [..., A, A - 1, D] for each visible agent the queries of the hidden agents after the layer.
        """
        others = other_agents(len(hidden))
        of_head = head_sums(self.width, self.num_heads, hidden.dtype)
        scale = (self.width // self.num_heads) ** -0.5
        normed = self.norm(hidden)
        query, key, value = self.query(normed), self.key(normed), self.value(normed)
        # Scores [A, A - 1, A - 1, heads] of hidden queries and keys, by visible agent; they depend on parameters only.
        scores = product(query[others][:, :, None] * key[others][:, None], of_head) * scale
        log_total = jax.nn.logsumexp(scores, axis=2)
        weights = product(jax.nn.softmax(scores, axis=2), of_head.T)
        rest = jnp.sum(weights * value[others][:, None], axis=2)

        normed_own = self.norm(own)
        own_key, own_value = self.key(normed_own)[..., None, :], self.value(normed_own)[..., None, :]
        own_score = product(query[others] * own_key, of_head) * scale
        own_weight = product(jax.nn.sigmoid(own_score - log_total), of_head.T)
        mixed = rest + own_weight * (own_value - rest)
        x = hidden[others] + self.out(mixed) + self.cross_out(self.cross_value(memory))[..., None, :]
        return self.feed_forward(x)


class MaskedAutoEncoder(nn.Module):
    """The masked auto-encoder, see the module docstring. `__call__` is for training, `infer` for acting.

    Attributes:
        num_agents: A.
        num_features: F = O + U, the features of a token.
        window: L.
        width: D.
        num_heads: number of attention heads.
        num_encoder_layers, num_decoder_layers: numbers of layers.
        num_read: R, number of last steps of a window that are reconstructed.
        num_actions: U, of the head for the status; 0 for no such head.
        mlp_ratio: width of the layers' hidden layers, in D.
    """

    num_agents: int
    num_features: int
    window: int
    width: int
    num_heads: int
    num_encoder_layers: int
    num_decoder_layers: int
    num_read: int = 1
    num_actions: int = 0
    mlp_ratio: int = 4

    def setup(self) -> None:
        """Makes the layers; flax calls it."""
        self.embed = Linear(self.width)
        self.agent_code = position_code(self, "agent_code", self.num_agents, self.width)
        self.read_code = position_code(self, "read_code", self.num_read, self.width)
        self.mask_token = position_code(self, "mask_token", 1, self.width)
        reach = split_reach(self.window, self.num_encoder_layers)
        self.encoder = [EncoderLayer(self.width, self.num_heads, steps, self.mlp_ratio) for steps in reach]
        self.encoder_norm = nn.LayerNorm()
        self.decoder = [
            DecoderLayer(self.width, self.num_heads, self.mlp_ratio) for _ in range(self.num_decoder_layers)
        ]
        self.decoder_norm = nn.LayerNorm()
        # A tenth of the usual scale: predictions start near 0, about the mean of most features. Otherwise the first
        # phase of training is spent on unlearning noise (R2 on random play of 8m 0.15 instead of -0.03).
        small = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")
        self.head = self.param("head", small, (self.width, self.num_features))
        if self.num_actions:
            self.status_head = self.param("status_head", small, (self.width, 1 + self.num_actions))
            self.status_bias = self.param("status_bias", nn.initializers.zeros, (1 + self.num_actions,))

    def encode(self, stretch: Stretch, is_visible: jax.Array | None) -> jax.Array:
        """Encodes the window of each agent and slot as one token: [L - 1 + T, B, ...] to [T, B, A, D]."""
        x = self.embed(stretch.tokens) + self.agent_code
        valid_length = stretch.valid_length
        for layer in self.encoder:
            x = layer(x, valid_length, is_visible)
            valid_length = valid_length[layer.reach :]
        return self.encoder_norm(x)

    def __call__(self, stretch: Stretch, is_hidden: jax.Array) -> jax.Array:
        """Decodes every agent at every slot from the windows of the visible agents.

        Args:
            stretch: [L - 1 + T, B, ...].
            is_hidden: [B, A] bool.

        Returns:
            [T, B, A, R, D], the newest step first; `reconstruct` maps it to observations and actions.
        """
        memory = self.encode(stretch, ~is_hidden)
        valid_length = stretch.valid_length[self.window - 1 :]
        return self._decode(memory, jnp.broadcast_to(is_hidden, memory.shape[:-1]), valid_length)

    def _decode(self, memory: jax.Array, is_hidden: jax.Array, valid_length: jax.Array) -> jax.Array:
        """Decodes memory [..., A, D], is_hidden [..., A] and valid_length [...] to [..., A, R, D]."""
        shape = (*memory.shape[:-1], self.num_read, self.width)
        content = jnp.where(is_hidden[..., None], self.mask_token, memory)
        queries = content[..., None, :] + self.agent_code[:, None] + self.read_code
        x = jnp.reshape(queries, (*memory.shape[:-2], -1, self.width))
        is_present = jnp.tile(valid_length[..., None] >= jnp.arange(self.num_read), self.num_agents)
        for layer in self.decoder:
            x = layer(x, is_present, memory, ~is_hidden)
        return jnp.reshape(self.decoder_norm(x), shape)

    def infer(self, stretch: Stretch) -> jax.Array:
        """Decodes each agent's team-mates from the agent's own window alone: all others are hidden.

        Args:
            stretch: [L - 1 + T, B, ...]; valid_length may be [L - 1 + T, B, A], if each agent has another window.

        Returns:
            [T, B, A, A - 1, R, D], team-mates in the order of `other_agents`; for each agent equal to `__call__`.
        """
        memory = self.encode(stretch, None)
        if self.num_read == self.num_decoder_layers == 1:
            code = self.agent_code + self.read_code
            decoded = self.decoder[0].of_hidden(self.mask_token + code, memory + code, memory)
            return self.decoder_norm(decoded)[..., None, :]
        # Every visible agent [..., A] has separate queries for the whole team.
        is_hidden = jnp.broadcast_to(~jnp.eye(self.num_agents, dtype=bool), (*memory.shape[:-1], self.num_agents))
        seen = jnp.broadcast_to(memory[..., None, :, :], (*is_hidden.shape, self.width))
        valid_length = stretch.valid_length[self.window - 1 :]
        valid_length = valid_length if valid_length.ndim == 3 else valid_length[..., None]
        valid_length = jnp.broadcast_to(valid_length, is_hidden.shape[:-1])
        decoded = self._decode(seen, is_hidden, valid_length)
        return decoded[..., np.arange(self.num_agents)[:, None], other_agents(self.num_agents), :, :]

    def reconstruct(self, decoded: jax.Array) -> jax.Array:
        """Maps [..., D] to observations and one-hot actions [..., F]."""
        return product(decoded, self.head)

    def alive_logit(self, decoded: jax.Array) -> jax.Array:
        """Maps [..., D] of the newest step to the logit of the agent being alive [...]."""
        return product(decoded, self.status_head[:, :1])[..., 0] + self.status_bias[0]

    def status(self, decoded: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps [..., D] of the newest step to the logit of being alive [...] and those of the next action [..., U]."""
        logits = product(decoded, self.status_head) + self.status_bias
        return logits[..., 0], logits[..., 1:]
