"""Training of the masked auto-encoder: reconstruct hidden agents; first alone, then together with the TD loss."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from limae_jax.config import MaeConfig, TrainConfig
from limae_jax.keys import Stream
from limae_jax.losses.td import masked_mean
from limae_jax.masking.base import MaskInputs
from limae_jax.masking.load import make_rule
from limae_jax.masking.random import bernoulli_mask
from limae_jax.systems.base import (
    Auxiliary,
    AuxiliaryInputs,
    AuxiliaryLoss,
    LearnerState,
    OffPolicy,
    Phase,
    Step,
    TdErrors,
    with_scales,
)
from limae_jax.systems.mae_loss import MaeLoss, cut_windows, mae_loss
from limae_jax.systems.team_models import MAE, init_mae, make_mae
from limae_jax.systems.value_based import ValueBasedCore
from limae_jax.types import Counters, EnvSpec, Metrics, PyTree, Rows, Sample

_EPSILON = 1e-9


def mae_optimiser(config: MaeConfig) -> optax.GradientTransformation:
    """Clips the gradients to a global norm of their own, then applies Muon or Adam.

    Muon (Jordan et al. 2024) makes the steps of weight matrices orthogonal, and applies Adam (Kingma & Ba 2015) with
    Nesterov's momentum to all other parameters.
    """
    step = optax.contrib.muon if config.optimiser == "muon" else optax.adam
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), step(config.learning_rate))


def mask_inputs(rows: Rows, errors: TdErrors) -> MaskInputs:
    """Returns what masking rules see of a batch, without gradient."""
    errors = jax.lax.stop_gradient(errors)
    team = errors.team if errors.team.ndim > 2 else errors.team[..., None]
    return MaskInputs(
        td_error_agent=jnp.abs(errors.agent),
        is_counted=rows.filled[..., None] & rows.alive,
        obs=rows.obs,
        is_first=rows.is_first,
        filled=rows.filled,
        signed=errors.agent,
        credit=errors.credit * jnp.abs(team),
    )


def mae_auxiliary(config: TrainConfig, env: EnvSpec) -> Auxiliary:
    """Makes the auxiliary loss lambda L_MAE, where the masking rule chooses the agents."""
    settings = config.auto_encoder
    mae = make_mae(settings, env)
    rule = make_rule(config.masking_rule, env.num_agents, mae.window)
    chooses_viewers = config.masking_rule.chooses == "viewers"

    def loss(inputs: AuxiliaryInputs, state: PyTree, key: jax.Array) -> AuxiliaryLoss:
        mask_key, window_key = jax.random.split(key)
        batch = inputs.batch
        shown = mask_inputs(batch, inputs.errors)
        chosen = rule.select(state, shown, mask_key)
        seen = chosen.metrics | _per_agent(shown.td_error_agent, shown.is_counted, chosen.is_hidden)
        seen |= attention_metrics(inputs.features, batch.filled)
        windows = cut_windows(mae, inputs.start, inputs.inputs, batch, chosen.is_hidden, window_key)
        found = mae_loss(settings, mae, inputs.params[MAE], windows, chooses_viewers)
        seen |= {"loss": found.total} | found.metrics
        return AuxiliaryLoss(settings.loss_weight * found.total, chosen.state, seen, found.scale)

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
    """Returns phase 1: random legal play and L_MAE as the only loss.

    All team-mates of each viewer are targets; with `mae.training=masked`, agents are hidden by Bernoulli masks.
    """
    settings = config.auto_encoder
    if not settings.pretrain_time_steps:
        return ()
    mae = make_mae(settings, core.env)

    def update(state: LearnerState, batch: Sample, counters: Counters, key: jax.Array) -> Step:
        mask_key, window_key = jax.random.split(key)
        rows = batch.rows
        start, inputs = core.read(rows)
        is_chosen = jnp.ones(rows.alive.shape, bool)
        if settings.training == "masked":
            num_rows, num_agents = rows.alive.shape[1:]
            hidden = bernoulli_mask(mask_key, (1, num_rows), num_agents, config.masking_rule.probability)
            is_chosen = jnp.broadcast_to(hidden, rows.alive.shape)
        windows = cut_windows(mae, start, inputs, rows, is_chosen, window_key)

        def loss(params: PyTree) -> tuple[jax.Array, MaeLoss]:
            found = mae_loss(settings, mae, params, windows)
            return found.total, found

        (error, found), grads = jax.value_and_grad(loss, has_aux=True)(state.params[MAE])
        everything = {part: jax.tree.map(jnp.zeros_like, params) for part, params in state.params.items()}
        params, opt_state = core.step(state, everything | {MAE: grads}, (MAE,))
        after = state.replace(params=with_scales(params, {MAE: found.scale}), opt_state=opt_state)
        metrics = {f"{MAE}/{name}": value for name, value in {"loss": error, **found.metrics}.items()}
        return Step(after, error, optax.tree.norm(grads), metrics)

    streams = (Stream.PRETRAIN_REPLAY, Stream.PRETRAIN_UPDATE)
    learn = OffPolicy(update, settings.pretrain_updates_per_iteration, streams)
    return (Phase("pretrain", settings.pretrain_time_steps, explores_by_schedule=False, learn=learn),)
