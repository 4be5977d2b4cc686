"""Scores of agents at each step, which the threshold rules average: `masking.score`."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from limae_jax.masking.base import MaskInputs
from limae_jax.masking.scores import centred, step_mean


def absolute(inputs: MaskInputs) -> jax.Array:
    """Returns |delta_i(t)|, LI-MA2E's score.

    Most of it is common to the team, because all agents learn from one reward; which steps an agent survives decides
    about its mean.
    """
    return inputs.td_error_agent


def step_centred(inputs: MaskInputs) -> jax.Array:
    """Returns |delta_i(t)| minus its mean over the agents that live at t."""
    return centred(inputs.td_error_agent, inputs.is_counted)


def credit(inputs: MaskInputs) -> jax.Array:
    """Returns |delta_team(t)| dQ_tot/dQ_i, the agent's share of the team's error, minus its mean over the living."""
    values = inputs.td_error_agent if inputs.credit is None else inputs.credit
    return centred(values, inputs.is_counted)


def disagreement(inputs: MaskInputs) -> jax.Array:
    """Returns |delta_i(t) - mean_j delta_j(t)|, how far the agent's error is from the team's; minus its mean."""
    signed = inputs.td_error_agent if inputs.signed is None else inputs.signed
    return centred(jnp.abs(signed - step_mean(signed, inputs.is_counted)), inputs.is_counted)


# `masking.score` -> the scores [T, B, A] of a batch.
SIGNALS: dict[str, Callable[[MaskInputs], jax.Array]] = {
    "absolute": absolute,
    "step_centred": step_centred,
    "credit": credit,
    "disagreement": disagreement,
}
