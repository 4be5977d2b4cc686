"""The losses of the masked auto-encoder on a batch of rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from limae_jax.config import MaeConfig
from limae_jax.losses.reconstruction import reconstruction_loss
from limae_jax.losses.td import masked_mean
from limae_jax.networks.agent import AgentInputs
from limae_jax.networks.mae import other_agents
from limae_jax.networks.windows import Stretch, count_windows, empty_history, make_stretch, split_windows
from limae_jax.systems.base import ActorCarry
from limae_jax.systems.feature_scale import Scale, standardise, standardised_input, updated_scale
from limae_jax.types import Metrics, PyTree, Rows

# Weight of the two losses on a team-mate's status beside that on its standardised features, whose error begins at 1.
_STATUS_WEIGHT = 0.1


class MaeLoss(NamedTuple):
    """The loss of the auto-encoder on a batch.

    Attributes:
        total: [].
        metrics: its parts, [] by name.
        scale: of the features after the batch; None if they are not standardised.
    """

    total: jax.Array
    metrics: Metrics
    scale: Scale | None


class Windows(NamedTuple):
    """N windows of a batch, and what is known of their last slots.

    Attributes:
        stretch: [L, N, ...].
        is_chosen: [N, A] bool, the agents that the masking rule chose.
        alive: [N, A] bool.
        filled: [N] bool, a real transition starts at the last slot.
        action: [N, A] the actions chosen there.
    """

    stretch: Stretch
    is_chosen: jax.Array
    alive: jax.Array
    filled: jax.Array
    action: jax.Array


def cut_windows(
    mae: Any, start: ActorCarry, inputs: AgentInputs, batch: Rows, is_chosen: jax.Array, key: jax.Array
) -> Windows:
    """Cuts a batch into windows without overlap, from a random slot on.

    Args:
        mae: the auto-encoder.
        start, inputs: the carry at the start of the rows, and the agents' inputs [T, B, ...].
        batch: the rows.
        is_chosen: [T, B, A] bool; the last slot of a window decides for the window.
        key: consumed.
    """
    window, (_, num_rows, num_agents, obs_size) = mae.window, inputs.obs.shape
    history = start.history or empty_history(num_rows, num_agents, obs_size, window)
    stretch = make_stretch(history, inputs.obs, inputs.last_action, inputs.is_first, mae.num_features - obs_size)
    _, last_offset = count_windows(stretch.valid_length.shape[0], window)
    offset = jax.random.randint(key, (), 0, last_offset + 1)
    windows, last = split_windows(stretch, window, offset)
    # The history is one step shorter than a window, so no window ends in the history.
    slots = last - (window - 1)
    at_end = (jnp.reshape(x[slots], (-1, *x.shape[2:])) for x in (is_chosen, batch.alive, batch.filled, batch.action))
    return Windows(windows, *at_end)


def masked_loss(mae: Any, params: PyTree, windows: Windows) -> MaeLoss:
    """Returns MA2E's loss: chosen agents are hidden from the encoder, which sees all others, and are the targets."""
    decoded = mae.apply(params, windows.stretch, windows.is_chosen)[0]
    predicted = mae.apply(params, decoded, method="reconstruct")
    target = jnp.moveaxis(windows.stretch.tokens[::-1][: mae.num_read], 0, 2)
    is_present = windows.stretch.valid_length[-1][:, None] >= jnp.arange(mae.num_read)
    is_counted = (windows.is_chosen & windows.alive)[..., None] & is_present[:, None]
    return MaeLoss(reconstruction_loss(predicted, target, is_counted), {}, None)


class Views(NamedTuple):
    """Windows seen by one agent each. Window g A + i has viewer i, so every agent is the viewer equally often.

    Attributes:
        window: [G, A] index of the window that agent i sees.
        viewer: [A].
        mates: [A, A - 1] indices of each viewer's team-mates.
    """

    window: np.ndarray
    viewer: np.ndarray
    mates: np.ndarray

    @classmethod
    def of(cls, num_windows: int, num_agents: int) -> Views:
        """Returns as many views as fill whole groups of A; if there are fewer windows than agents, some are reused."""
        groups = max(num_windows // num_agents, 1)
        window = np.resize(np.arange(num_windows), (groups, num_agents))
        return cls(window, np.arange(num_agents), other_agents(num_agents))

    def own(self, x: jax.Array) -> jax.Array:
        """Returns the viewers' entries of x [N, A, ...], [G, A, ...]."""
        return x[self.window, self.viewer]

    def of_mates(self, x: jax.Array) -> jax.Array:
        """Returns the entries of x [N, A, ...] for the viewers' team-mates, [G, A, A - 1, ...]."""
        return x[self.window[..., None], self.mates]


def one_view_loss(mae: Any, params: PyTree, windows: Windows, chooses_viewers: bool) -> MaeLoss:
    """Returns the loss of guessing team-mates as when acting: the encoder sees one agent's window.

    A guess counts if the masking rule chose the team-mate or, with `chooses_viewers`, the viewer. Features count for
    living team-mates and are standardised; whether a team-mate lives, and its next action, are predicted beside them.
    The dead guess nothing.
    """
    stretch, num_agents = windows.stretch, windows.alive.shape[-1]
    views = Views.of(windows.alive.shape[0], num_agents)
    own_tokens = jnp.moveaxis(views.own(jnp.moveaxis(stretch.tokens, 0, 2)), 2, 0)
    scale = jax.lax.stop_gradient(params["scale"])
    seen = Stretch(standardised_input(scale, own_tokens), stretch.valid_length[:, views.window])
    decoded = mae.apply(params, seen, method="infer")[0]

    newest = jnp.moveaxis(stretch.tokens[::-1][: mae.num_read], 0, 2)
    target = views.of_mates(standardise(scale, newest))
    is_present = stretch.valid_length[-1][views.window][..., None] >= jnp.arange(mae.num_read)
    chosen = windows.is_chosen
    counted = views.own(chosen)[..., None] if chooses_viewers else views.of_mates(chosen)
    counted = counted & views.own(windows.alive)[..., None]
    lives = views.of_mates(windows.alive)
    features = reconstruction_loss(
        mae.apply(params, decoded, method="reconstruct"), target, (counted & lives)[..., None] & is_present[:, :, None]
    )
    alive_logit, action_logits = mae.apply(params, decoded[..., 0, :], method="status")
    of_alive = optax.sigmoid_binary_cross_entropy(alive_logit, lives.astype(alive_logit.dtype))
    of_action = optax.softmax_cross_entropy_with_integer_labels(action_logits, views.of_mates(windows.action))
    alive = masked_mean(of_alive, jnp.broadcast_to(counted, lives.shape))
    action = masked_mean(of_action, counted & lives & windows.filled[views.window][..., None])
    parts = {"loss_features": features, "loss_alive": alive, "loss_action": action}
    total = features + _STATUS_WEIGHT * (alive + action)
    return MaeLoss(total, parts, updated_scale(scale, newest[:, :, 0], windows.alive))


def mae_loss(config: MaeConfig, mae: Any, params: PyTree, windows: Windows, chooses_viewers: bool = False) -> MaeLoss:
    """Returns the loss of `mae.training`."""
    if config.training == "masked":
        return masked_loss(mae, params, windows)
    return one_view_loss(mae, params, windows, chooses_viewers)
