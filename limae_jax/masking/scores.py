"""Functions shared by the rules: groups of slots with one mask each, mean errors of agents, and thresholds.

A group is the set of slots that one mask covers: the batch, a row, or a window of a row. Scores have axes [W, G, A]:
[1, 1, A] for the batch, [1, B, A] for rows, [ceil(T / L), B, A] for windows of L slots.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class MaskUnits(NamedTuple):
    """The groups of slots that share a mask.

    Attributes:
        unit: `batch`, `row` or `step`.
        window: L, number of slots in a group of unit `step`. The first begins at slot 0, the last may be shorter.
    """

    unit: str
    window: int

    def shape(self, num_slots: int, num_rows: int) -> tuple[int, int]:
        """Returns (W, G) for rows of [T, B]."""
        if self.unit == "step":
            return -(-num_slots // self.window), num_rows
        return 1, num_rows if self.unit == "row" else 1

    def sum(self, values: jax.Array) -> jax.Array:
        """Sums [T, B, A] over each group, [W, G, A]."""
        if self.unit != "step":
            return jnp.sum(values, axis=0 if self.unit == "row" else (0, 1), keepdims=True)
        num_slots, num_rows, num_agents = values.shape
        num_windows, _ = self.shape(num_slots, num_rows)
        padded = jnp.pad(values, ((0, num_windows * self.window - num_slots), (0, 0), (0, 0)))
        return jnp.sum(jnp.reshape(padded, (num_windows, self.window, num_rows, num_agents)), axis=1)

    def spread(self, units: jax.Array, num_slots: int, num_rows: int) -> jax.Array:
        """Copies each group's values [W, G, A] to its slots, [T, B, A]."""
        num_windows, _, num_agents = units.shape
        repeats = self.window if self.unit == "step" else num_slots
        slots = jnp.broadcast_to(units[:, None], (num_windows, repeats, num_rows, num_agents))
        return jnp.reshape(slots, (-1, num_rows, num_agents))[:num_slots]


def step_mean(values: jax.Array, is_counted: jax.Array) -> jax.Array:
    """Returns the mean of each step over the agents that count [T, B, 1], of values [T, B, A]; 0 if none does."""
    total = jnp.sum(jnp.where(is_counted, values, 0.0), axis=-1, keepdims=True)
    return total / jnp.maximum(jnp.sum(is_counted, axis=-1, keepdims=True), 1)


def centred(values: jax.Array, is_counted: jax.Array) -> jax.Array:
    """Removes from each step what the team's agents have in common there: the mean over those that count.

    An agent's mean over its steps then depends neither on which steps it survives nor on the steps' rewards. The mean
    over everything is added again, so that a fraction above the mean is a fraction of the errors, as before.

    Args:
        values: [T, B, A].
        is_counted: [T, B, A] bool.

    Returns:
        [T, B, A]; meaningless where not counted.
    """
    overall = jnp.sum(jnp.where(is_counted, values, 0.0)) / jnp.maximum(jnp.sum(is_counted), 1)
    return values - step_mean(values, is_counted) + overall


def agent_mean(
    values: jax.Array, is_counted: jax.Array, units: MaskUnits, weight: jax.Array | float = 1.0
) -> jax.Array:
    """Returns each agent's mean over the counted values in each group.

    An agent without counted values in a group gets the mean of the other agents' means there, so that it neither
    changes the mean over the agents nor stands out. If no agent has counted values, all means are 0.

    Args:
        values: [T, B, A]; arbitrary, even NaN, where not counted.
        is_counted: [T, B, A] bool.
        units: groups to average over.
        weight: greater than 0, broadcast against the values.

    Returns:
        [W, G, A], without NaN if no counted value is NaN.
    """
    chex.assert_rank(values, 3)
    chex.assert_equal_shape([values, is_counted])
    total = units.sum(jnp.where(is_counted, values * weight, 0.0))
    amount = units.sum(jnp.where(is_counted, weight, 0.0))
    is_known = amount > 0
    mean = total / jnp.where(is_known, amount, 1.0)
    # `mean` is 0 where not known.
    others = jnp.sum(mean, axis=-1, keepdims=True) / jnp.maximum(jnp.sum(is_known, axis=-1, keepdims=True), 1)
    return jnp.where(is_known, mean, others)


def highest(score: jax.Array, number: jax.Array | int, tie_break: jax.Array | float = 0.0) -> jax.Array:
    """Marks the agents with the highest scores. Ties go to the higher `tie_break`, then to the lower index.

    Args:
        score: [..., A].
        number: number of agents to mark, broadcast against the scores.
        tie_break: broadcast against the scores.

    Returns:
        [..., A] bool, exactly `number` in each group.
    """
    # Comparing all pairs is cheaper than sorting a handful of agents. NaN ranks last: comparisons with NaN are False,
    # so a diverged learner would otherwise have all of its agents at the top.
    score = jnp.where(jnp.isnan(score), -jnp.inf, score)
    agents = jnp.arange(score.shape[-1])
    is_before_me = jnp.broadcast_to(agents < agents[:, None], (*score.shape, score.shape[-1]))
    for key in (jnp.broadcast_to(tie_break, score.shape), score):
        mine, other = key[..., :, None], key[..., None, :]
        is_before_me = (other > mine) | ((other == mine) & is_before_me)
    return jnp.sum(is_before_me, axis=-1) < number


def above_mean(
    score: jax.Array, tolerance: float, top_k: int, tie_break: jax.Array | float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """Hides the agents with a high score: the mean TD-error threshold of LI-MA2E, for any score.

        M_i = 1  iff  s_i > theta (1 + tolerance),  theta = mean_i s_i;  the top k by score if there are none, k < A

    Args:
        score: [..., A], not negative.
        tolerance: how far above the mean a score must be. With 0, no score exceeds the mean only if all are equal.
        top_k: k; one agent always stays visible.
        tie_break: decides between equal scores of the top k, see `highest`.

    Returns:
        is_hidden [..., A] bool, and whether it is the top k, [...] bool.
    """
    number = min(top_k, score.shape[-1] - 1)
    theta = jnp.mean(score, axis=-1, keepdims=True)
    # The mean of equal floats can be rounded to below all of them, which would hide every agent.
    limit = jnp.maximum(theta * (1.0 + tolerance), jnp.min(score, axis=-1, keepdims=True))
    is_high = score > limit
    is_nobody_high = ~jnp.any(is_high, axis=-1, keepdims=True)
    is_hidden = jnp.where(is_nobody_high, highest(score, number, tie_break), is_high)
    return is_hidden, is_nobody_high[..., 0] & (number > 0)
