"""The interface of masking rules, and their shared functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from limae_jax.config.masking import ThresholdConfig
from limae_jax.masking.scores import MaskUnits, above_mean
from limae_jax.types import Metrics, PyTree


class MaskInputs(NamedTuple):
    """The input of a rule. Axes [T, B, ...], time-major.

    Attributes:
        td_error_agent: [T, B, A] score of each agent at each step, without gradient: its absolute TD error, or what
            `masking.score` makes of the errors. What rules average.
        is_counted: [T, B, A] bool, a real transition with the agent alive. Elsewhere `td_error_agent` is meaningless.
        obs: [T, B, A, O].
        is_first: [T, B] bool, an episode starts here.
        filled: [T, B] bool, a real transition starts here.
        signed: [T, B, A] TD error of each agent with its sign; None stands for `td_error_agent`.
        credit: [T, B, A] the team's absolute TD error times dQ_tot/dQ_i; None stands for `td_error_agent`.
    """

    td_error_agent: jax.Array
    is_counted: jax.Array
    obs: jax.Array
    is_first: jax.Array
    filled: jax.Array
    signed: jax.Array | None = None
    credit: jax.Array | None = None


def check_shapes(inputs: MaskInputs) -> None:
    """Checks the shapes of the inputs at tracing time; costs nothing at run time."""
    chex.assert_rank(inputs.td_error_agent, 3)
    chex.assert_equal_shape([inputs.td_error_agent, inputs.is_counted])
    chex.assert_rank(inputs.obs, 4)
    chex.assert_equal_shape_prefix([inputs.td_error_agent, inputs.obs], 3)
    chex.assert_shape([inputs.is_first, inputs.filled], inputs.is_counted.shape[:2])


class Selection(NamedTuple):
    """The agents to hide.

    Attributes:
        is_hidden: [T, B, A] bool.
        state: the rule's state for the next batch.
        metrics: [] float32 by name.
    """

    is_hidden: jax.Array
    state: PyTree
    metrics: Metrics


class MaskingRule(NamedTuple):
    """Chooses which agents to hide.

    Attributes:
        init: () -> state, carried from batch to batch and stored in checkpoints.
        select: (state, inputs, key) -> Selection.
    """

    init: Callable[[], PyTree]
    select: Callable[[PyTree, MaskInputs, jax.Array], Selection]


def stateless(choose: Callable[[MaskInputs, jax.Array], tuple[jax.Array, Metrics]]) -> MaskingRule:
    """Returns a rule that depends on the current batch only.

    Args:
        choose: (inputs, key) -> (is_hidden [T, B, A] bool, metrics).
    """

    def select(state: PyTree, inputs: MaskInputs, key: jax.Array) -> Selection:
        is_hidden, metrics = choose(inputs, key)
        return Selection(is_hidden, state, metrics)

    return MaskingRule(init=lambda: (), select=select)


def hide_above_mean(
    score: jax.Array, units: MaskUnits, config: ThresholdConfig, inputs: MaskInputs, tie_break: jax.Array | None = None
) -> tuple[jax.Array, Metrics]:
    """Hides the agents with a high score in each group; see `scores.above_mean`.

    Args:
        score: [W, G, A].
        units: units of the score.
        config: the tolerance and the top k.
        inputs: the batch.
        tie_break: [W, G, A] decides between equal scores; None: the number of counted slots of an agent. Without it, a
            dead agent, whose score is the others' mean, could be hidden in place of a lone survivor with the same
            score, which would leave nothing to learn.

    Returns:
        is_hidden [T, B, A] bool, and `fallback_rate`: fraction of groups that fell back to the top k.
    """
    tie_break = units.sum(inputs.is_counted.astype(jnp.float32)) if tie_break is None else tie_break
    is_hidden, is_fallback = above_mean(score, config.tolerance, config.top_k, tie_break)
    metrics = {"fallback_rate": jnp.mean(is_fallback.astype(jnp.float32))}
    return units.spread(is_hidden, *inputs.filled.shape), metrics
