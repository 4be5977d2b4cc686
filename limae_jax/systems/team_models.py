"""The agents' beliefs about their team: reconstructions of the auto-encoder or, for the oracle, the truth."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from limae_jax.config import MaeConfig, TrainConfig, WindowConfig
from limae_jax.networks.agent import AgentInputs
from limae_jax.networks.attention import Beliefs
from limae_jax.networks.mae import MaskedAutoEncoder
from limae_jax.networks.windows import History, Stretch, empty_history, make_stretch, unfold
from limae_jax.systems.base import TeamModel
from limae_jax.systems.feature_scale import deviation, initial_scale, standardised_input
from limae_jax.types import EnvSpec, PyTree

MAE = "mae"


def num_read(config: WindowConfig) -> int:
    """Returns R, the number of a window's last steps that are reconstructed."""
    return config.window if config.context == "window" else 1


def make_mae(config: MaeConfig, env: EnvSpec) -> Any:
    """Makes the auto-encoder for an environment; `Any`, as flax types its `apply` too narrowly for mypy."""
    return MaskedAutoEncoder(
        num_agents=env.num_agents,
        num_features=env.obs_size + env.num_actions,
        window=config.window,
        width=config.width,
        num_heads=config.num_heads,
        num_encoder_layers=config.encoder_layers,
        num_decoder_layers=config.decoder_layers,
        num_read=num_read(config),
        mlp_ratio=config.mlp_ratio,
        num_actions=0 if config.training == "masked" else env.num_actions,
    )


def init_mae(mae: Any, key: jax.Array) -> PyTree:
    """Returns initial parameters of an auto-encoder and, if it predicts the status, the scale of its features."""
    shape = (mae.window, 1, mae.num_agents, mae.num_features)
    stretch = Stretch(jnp.zeros(shape), jnp.zeros(shape[:2], jnp.int32))
    params = mae.init(key, stretch, jnp.zeros((1, mae.num_agents), bool))
    return {**params, "scale": initial_scale(mae.num_features)} if mae.num_actions else params


def mae_team_model(config: TrainConfig, env: EnvSpec) -> TeamModel | None:
    """Makes the model in which each agent reconstructs its team-mates from its own window; None without context."""
    if not config.has_context:
        return None
    mae = make_mae(config.auto_encoder, env)

    def infer(params: PyTree, history: History, inputs: AgentInputs) -> Beliefs:
        stretch = make_stretch(history, inputs.obs, inputs.last_action, inputs.is_first, env.num_actions)
        scale = jax.lax.stop_gradient(params["scale"]) if mae.num_actions else None
        read = stretch.replace(tokens=standardised_input(scale, stretch.tokens)) if scale else stretch
        decoded = mae.apply(params, read, method="infer")
        present = _present_steps(stretch, mae.window, mae.num_read)
        log_alive = None
        if scale:
            log_alive = jax.nn.log_sigmoid(mae.apply(params, decoded[..., 0, :], method="alive_logit"))
        decoded = jnp.where(present[:, :, None, None, :, None], decoded, 0.0)
        # Not -1 for the last size: a single agent has no team-mates, and jax cannot infer the size of an empty array.
        decoded = jnp.reshape(decoded, (*decoded.shape[:-2], mae.num_read * mae.width))
        own, head = _last_steps(stretch, mae.window, mae.num_read), params["params"]["head"]
        if not scale:
            return Beliefs(own, decoded, head)
        # The auto-encoder reads and reconstructs standardised features; the attention reads them in their own units.
        offset = jnp.where(present[..., None], scale["mean"], 0.0)
        offset = jnp.reshape(offset, (*present.shape[:2], mae.num_read * mae.num_features))
        return Beliefs(own, decoded, head * deviation(scale), offset, log_alive)

    return TeamModel(MAE, _empty(config, env), infer, config.auto_encoder.td_gradient_to_mae)


def true_team_model(config: TrainConfig, env: EnvSpec) -> TeamModel | None:
    """Makes the model in which every agent knows its team-mates' windows; not decentralised, only a bound."""
    if not config.has_context:
        return None
    settings = config.team_window

    def infer(params: PyTree, history: History, inputs: AgentInputs) -> Beliefs:
        stretch = make_stretch(history, inputs.obs, inputs.last_action, inputs.is_first, env.num_actions)
        return Beliefs(_last_steps(stretch, settings.window, num_read(settings)))

    return TeamModel(None, _empty(config, env), infer)


def _empty(config: TrainConfig, env: EnvSpec) -> Callable[[int], History]:
    return partial(empty_history, num_agents=env.num_agents, obs_size=env.obs_size, window=config.team_window.window)


def _present_steps(stretch: Stretch, window: int, count: int) -> jax.Array:
    """Returns [T, B, R] bool, which of each window's last R steps belong to the running episode; the newest first."""
    return stretch.valid_length[window - 1 :, :, None] >= jnp.arange(count)


def _last_steps(stretch: Stretch, window: int, count: int) -> jax.Array:
    """Returns [T, B, A, R F], the last R steps of each window, the newest first; absent steps are 0."""
    windows = unfold(stretch, window).tokens[::-1][:count]
    num_rows, (num_agents, num_features) = stretch.valid_length.shape[1], windows.shape[2:]
    steps = jnp.reshape(jnp.moveaxis(windows, 0, 2), (-1, num_rows, num_agents, count, num_features))
    present = _present_steps(stretch, window, count)
    return jnp.reshape(jnp.where(present[:, :, None, :, None], steps, 0.0), (*steps.shape[:3], -1))
