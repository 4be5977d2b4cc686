"""Temporal-difference targets and losses over time-major rows. Pure functions, independent of the network.

A row is a sequence of [T] slots. `filled` is True where a real step was taken, so it is False at an episode's final
observation and at the row's last slot: these slots have no loss, but a value.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

UNAVAILABLE = -1e9


def masked_mean(values: jax.Array, filled: jax.Array, weight: jax.Array | float = 1.0) -> jax.Array:
    """Returns the mean of `values` where `filled`; 0 if nothing is. Other values are ignored, even NaN.

    Args:
        values, filled: arrays of the same shape.
        weight: importance weights that multiply the values, broadcast against them.
    """
    chex.assert_equal_shape([values, filled])
    total = jnp.sum(jnp.where(filled, values * weight, 0.0))
    return total / jnp.maximum(jnp.sum(filled), 1)


def choose(q: jax.Array, action: jax.Array) -> jax.Array:
    """Returns the utilities [...] of the chosen actions [...] from q [..., U]."""
    chex.assert_equal_shape_prefix([q, action], action.ndim)
    # A sum over a comparison instead of a gather, whose gradient is a scatter, which is slow on a CPU.
    is_chosen = action[..., None] == jnp.arange(q.shape[-1])
    return jnp.sum(jnp.where(is_chosen, q, 0.0), axis=-1)


def greedy_action(q: jax.Array, avail: jax.Array) -> jax.Array:
    """Returns the best legal action [...] of q [..., U] and avail [..., U]."""
    chex.assert_equal_shape([q, avail])
    return jnp.argmax(jnp.where(avail, q, UNAVAILABLE), axis=-1)


def best_legal(q: jax.Array, avail: jax.Array) -> jax.Array:
    """Returns the largest utility [...] of q [..., U] among the legal actions of avail [..., U]."""
    chex.assert_equal_shape([q, avail])
    return jnp.max(jnp.where(avail, q, UNAVAILABLE), axis=-1)


def bootstrap_action(online_q: jax.Array, target_q: jax.Array, avail: jax.Array, double_q: bool) -> jax.Array:
    """Returns the greedy legal actions [..., A] for the bootstrap value.

    Args:
        online_q, target_q, avail: [..., A, U].
        double_q: whether the online network picks the action (van Hasselt et al. 2016), else the target network.
    """
    return greedy_action(online_q if double_q else target_q, avail)


def td_lambda_targets(
    reward: jax.Array, terminal: jax.Array, filled: jax.Array, value: jax.Array, gamma: float, td_lambda: float
) -> jax.Array:
    """Returns TD(lambda) targets that never mix episodes (Sutton & Barto 2018, section 12.1).

        G_t = r_t + gamma (1 - terminal_t) [(1 - l_t) V_{t+1} + l_t G_{t+1}]

    with l_t = lambda where slot t + 1 is a real step, which is then of the same episode, and l_t = 0 before an
    episode's final observation and before the row's last slot. V_{t+1} is then the value of that observation, so a
    truncated episode and the end of a row bootstrap from their last observation.

    Args:
        reward, terminal: [T, ...] reward and terminal flag of the step from slot t.
        filled: [T, ...]; the last slot counts as not filled.
        value: [T, ...] target value of slot t's observation.
        gamma: discount.
        td_lambda: lambda.

    Returns:
        [T, ...] targets; meaningless where not `filled`, and 0 in the last slot.
    """
    chex.assert_equal_shape([reward, terminal, filled, value])
    goes_on = filled.at[-1].set(False)[1:]
    mix = jnp.where(goes_on, td_lambda, 0.0)
    discount = gamma * (1.0 - terminal[:-1])

    def backward(target_next: jax.Array, slot: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        reward, discount, value_next, mix = slot
        target = reward + discount * ((1.0 - mix) * value_next + mix * target_next)
        return target, target

    last = jnp.zeros_like(value[-1])
    slots = (reward[:-1], discount, value[1:], mix)
    _, targets = jax.lax.scan(backward, last, slots, reverse=True, unroll=8)
    return jnp.concatenate([targets, last[None]])


def agent_td_errors(
    online_q: jax.Array,
    target_q: jax.Array,
    action: jax.Array,
    avail: jax.Array,
    reward: jax.Array,
    terminal: jax.Array,
    gamma: float,
) -> jax.Array:
    """Returns each agent's one-step TD error on the team reward, with its sign.

        delta_i = Q_i(a_i) - (r + gamma (1 - terminal) max_{legal a'} Q_i(a'; target))

    Args:
        online_q, target_q, avail: [T, B, A, U].
        action: [T, B, A].
        reward, terminal: [T, B].
        gamma: discount.

    Returns:
        [T, B, A] without gradient; meaningless where not filled, 0 in the last slot.
    """
    chex.assert_equal_shape([online_q, target_q, avail])
    chex.assert_shape([reward, terminal], action.shape[:2])
    target = reward[:-1, :, None] + gamma * (1.0 - terminal[:-1, :, None]) * best_legal(target_q, avail)[1:]
    error = choose(online_q, action)[:-1] - target
    return jax.lax.stop_gradient(jnp.concatenate([error, jnp.zeros_like(error[:1])]))


def row_priority(error: jax.Array, filled: jax.Array) -> jax.Array:
    """Returns the priority of each row, a compromise between sum and mean of its TD errors (PyMARL2).

        p_b = sum_t |delta_t| / sqrt(number of real steps)

    Args:
        error: [T, B] TD errors, or [T, B, A] one for each agent, which are averaged over the agents.
        filled: bool of the same shape, the errors that count.

    Returns:
        [B], 0 for a row without a real step.
    """
    chex.assert_equal_shape([error, filled])
    size = jnp.where(filled, jnp.abs(error), 0.0)
    if error.ndim > 2:
        size = jnp.sum(size, axis=-1) / jnp.maximum(jnp.sum(filled, axis=-1), 1)
        filled = jnp.any(filled, axis=-1)
    return jnp.sum(size, axis=0) / jnp.sqrt(jnp.maximum(jnp.sum(filled, axis=0), 1))


def td_loss(error: jax.Array, filled: jax.Array, weight: jax.Array | float = 1.0) -> jax.Array:
    """Returns the mean of error^2 / 2 over the real steps; `weight` as in `masked_mean`."""
    # Also selected before the square, whose gradient 0 * error is not 0 if the error is not finite.
    return masked_mean(0.5 * jnp.square(jnp.where(filled, error, 0.0)), filled, weight)
