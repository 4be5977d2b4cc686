"""Training of the masked auto-encoder: reconstruct hidden agents; first alone, then together with the TD loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from limae_jax.config import MaeConfig, TrainConfig
from limae_jax.keys import Stream
from limae_jax.losses.reconstruction import reconstruction_loss
from limae_jax.losses.td import masked_mean
from limae_jax.masking.base import MaskInputs
from limae_jax.masking.load import make_rule
from limae_jax.masking.random import bernoulli_mask
from limae_jax.networks.agent import AgentInputs
from limae_jax.networks.windows import count_windows, empty_history, make_stretch, split_windows
from limae_jax.systems.base import (
    ActorCarry,
    Auxiliary,
    AuxiliaryInputs,
    AuxiliaryLoss,
    LearnerState,
    OffPolicy,
    Phase,
    Step,
)
from limae_jax.systems.team_models import MAE, init_mae, make_mae
from limae_jax.systems.value_based import ValueBasedCore
from limae_jax.types import Counters, EnvSpec, Metrics, PyTree, Sample

_EPSILON = 1e-9


def mae_optimiser(config: MaeConfig) -> optax.GradientTransformation:
    """Clips the gradients to a global norm of their own, then applies Adam (Kingma & Ba 2015)."""
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(config.learning_rate))


def mae_loss(
    mae: Any,
    params: PyTree,
    start: ActorCarry,
    inputs: AgentInputs,
    alive: jax.Array,
    is_hidden: jax.Array,
    key: jax.Array,
) -> jax.Array:
    """Returns L_MAE over the windows of a batch, cut without overlap from a random slot on.

    Args:
        mae: the auto-encoder.
        params: its parameters.
        start, inputs: the carry at the start of the rows, and the agents' inputs [T, B, ...].
        alive: [T, B, A] bool.
        is_hidden: [T, B, A] bool; the last slot of a window decides for the window.
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
    hidden = jnp.reshape(is_hidden[slots], (-1, num_agents))
    decoded = mae.apply(params, windows, hidden)[0]
    predicted = mae.apply(params, decoded, method="reconstruct")
    target = jnp.moveaxis(windows.tokens[::-1][: mae.num_read], 0, 2)
    is_present = windows.valid_length[-1][:, None] >= jnp.arange(mae.num_read)
    is_counted = (hidden & jnp.reshape(alive[slots], hidden.shape))[..., None] & is_present[:, None]
    return reconstruction_loss(predicted, target, is_counted)


def mae_auxiliary(config: TrainConfig, env: EnvSpec) -> Auxiliary:
    """Makes the auxiliary loss lambda L_MAE, where the masking rule chooses the hidden agents."""
    mae = make_mae(config.auto_encoder, env)
    rule = make_rule(config.masking_rule, env.num_agents, mae.window)

    def loss(inputs: AuxiliaryInputs, state: PyTree, key: jax.Array) -> AuxiliaryLoss:
        mask_key, window_key = jax.random.split(key)
        batch = inputs.batch
        is_counted = batch.filled[..., None] & batch.alive
        delta = inputs.errors.agent
        chosen = rule.select(state, MaskInputs(delta, is_counted, batch.obs, batch.is_first, batch.filled), mask_key)
        seen = chosen.metrics | _per_agent(delta, is_counted, chosen.is_hidden)
        seen |= attention_metrics(inputs.features, batch.filled)
        error = mae_loss(
            mae, inputs.params[MAE], inputs.start, inputs.inputs, batch.alive, chosen.is_hidden, window_key
        )
        return AuxiliaryLoss(config.auto_encoder.loss_weight * error, chosen.state, seen | {"loss": error})

    return Auxiliary(MAE, lambda key: init_mae(mae, key), rule.init, loss, MAE)


def _per_agent(td_error_agent: jax.Array, is_counted: jax.Array, is_hidden: jax.Array) -> Metrics:
    """Returns delta and the share of time hidden, for each agent."""
    count = jnp.maximum(jnp.sum(is_counted, axis=(0, 1)), 1)
    delta = jnp.sum(jnp.where(is_counted, td_error_agent, 0.0), axis=(0, 1)) / count
    hidden = jnp.mean(is_hidden, axis=(0, 1), dtype=jnp.float32)
    each = range(td_error_agent.shape[-1])
    return {f"td_error_{i}": delta[i] for i in each} | {f"hidden_{i}": hidden[i] for i in each}


def attention_metrics(features: Mapping[str, jax.Array], filled: jax.Array) -> Metrics:
    """Returns the entropy of the attention over the team in nats, and its weight on the agent's own window."""
    if "attention" not in features:
        return {}
    weights = jax.lax.stop_gradient(features["attention"])
    entropy = -jnp.sum(weights * jnp.log(weights + _EPSILON), axis=-1)
    own = jnp.diagonal(weights, axis1=-2, axis2=-1)
    real = jnp.broadcast_to(filled[..., None], own.shape)
    return {"attention_entropy": masked_mean(entropy, real), "attention_own": masked_mean(own, real)}


def attention_only(inputs: AuxiliaryInputs, state: PyTree, key: jax.Array) -> AuxiliaryLoss:
    """An auxiliary objective without loss that reports the attention's metrics."""
    return AuxiliaryLoss(jnp.zeros(()), state, attention_metrics(inputs.features, inputs.batch.filled))


def frozen_mae(config: TrainConfig, env: EnvSpec) -> Auxiliary:
    """Makes an auto-encoder that is trained in phase 1 only."""
    mae = make_mae(config.auto_encoder, env)
    return Auxiliary(MAE, lambda key: init_mae(mae, key), tuple, attention_only, MAE)


def pretraining(config: TrainConfig, core: ValueBasedCore) -> tuple[Phase, ...]:
    """Returns phase 1: random legal play, Bernoulli masks, and L_MAE as the only loss."""
    settings, probability = config.auto_encoder, config.masking_rule.probability
    if not settings.pretrain_time_steps:
        return ()
    mae = make_mae(settings, core.env)

    def update(state: LearnerState, batch: Sample, counters: Counters, key: jax.Array) -> Step:
        mask_key, window_key = jax.random.split(key)
        rows = batch.rows
        start, inputs = core.read(rows)
        num_rows, num_agents = rows.alive.shape[1:]
        hidden = bernoulli_mask(mask_key, (1, num_rows), num_agents, probability)
        is_hidden = jnp.broadcast_to(hidden, rows.alive.shape)

        def loss(params: PyTree) -> jax.Array:
            return mae_loss(mae, params, start, inputs, rows.alive, is_hidden, window_key)

        error, grads = jax.value_and_grad(loss)(state.params[MAE])
        everything = {part: jax.tree.map(jnp.zeros_like, params) for part, params in state.params.items()}
        params, opt_state = core.step(state, everything | {MAE: grads}, (MAE,))
        after = state.replace(params=params, opt_state=opt_state)
        return Step(after, error, optax.tree.norm(grads), {f"{MAE}/loss": error})

    streams = (Stream.PRETRAIN_REPLAY, Stream.PRETRAIN_UPDATE)
    learn = OffPolicy(update, settings.pretrain_updates_per_iteration, streams)
    return (Phase("pretrain", settings.pretrain_time_steps, explores_by_schedule=False, learn=learn),)
