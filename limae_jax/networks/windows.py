"""Trajectory windows: the last L (observation, previous action) pairs of each agent in the running episode.

Overlapping windows share steps, so they are not stored separately. A stretch of time is stored once, together with
each slot's `valid_length`: the number of slots before it that belong to the same episode. The window at a slot consists
of the slot and the min(valid_length, L - 1) slots before it; earlier steps, and steps before the start of the team's
episode, are absent.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct


class History(struct.PyTreeNode):
    """The L - 1 steps before the next step, carried while acting and stored at the start of a row.

    Attributes:
        obs: [B, L - 1, A, O], the newest last.
        last_action: [B, L - 1, A] int32, the action before each observation, -1 at the start of an episode.
        length: [B] int32, number of steps that belong to the running episode; the others are absent.
    """

    obs: jax.Array
    last_action: jax.Array
    length: jax.Array


class Stretch(struct.PyTreeNode):
    """Consecutive slots, the auto-encoder's input. Axes [K + T, B, ...]: K = L - 1 slots of history, then T slots.

    Attributes:
        tokens: [K + T, B, A, F] the observation and the one-hot previous action (all 0 at the start of an episode).
        valid_length: [K + T, B] int32, available slots before this one in the same episode, at most L - 1.
    """

    tokens: jax.Array
    valid_length: jax.Array


def empty_history(num_rows: int, num_agents: int, obs_size: int, window: int) -> History:
    """Returns the history before the first step of an episode: everything is absent."""
    shape = (num_rows, window - 1, num_agents)
    return History(jnp.zeros((*shape, obs_size)), jnp.full(shape, -1, jnp.int32), jnp.zeros(num_rows, jnp.int32))


def advance(history: History, obs: jax.Array, last_action: jax.Array, is_first: jax.Array) -> History:
    """Returns the history after one more step.

    Args:
        history: history before the step.
        obs: [B, A, O].
        last_action: [B, A] int32.
        is_first: [B] bool, the step starts an episode: earlier steps become absent.
    """
    size = history.obs.shape[1]
    length = jnp.minimum(jnp.where(is_first, 0, history.length) + 1, size)
    if size == 0:
        return history.replace(length=length)
    return History(
        jnp.concatenate([history.obs[:, 1:], obs[:, None]], axis=1),
        jnp.concatenate([history.last_action[:, 1:], last_action[:, None]], axis=1),
        length,
    )


def make_tokens(obs: jax.Array, last_action: jax.Array, num_actions: int) -> jax.Array:
    """Concatenates observations [..., O] and one-hot previous actions [...] to tokens [..., O + U]."""
    return jnp.concatenate([obs, jax.nn.one_hot(last_action, num_actions, dtype=obs.dtype)], axis=-1)


def make_stretch(
    history: History, obs: jax.Array, last_action: jax.Array, is_first: jax.Array, num_actions: int
) -> Stretch:
    """Returns a stretch of T slots with the history before it.

    Args:
        history: history before slot 0.
        obs: [T, B, A, O].
        last_action: [T, B, A] int32.
        is_first: [T, B] bool.
        num_actions: U.
    """
    size, num_slots = history.obs.shape[1], obs.shape[0]
    slot = jnp.arange(num_slots)[:, None]
    start = jax.lax.cummax(jnp.where(is_first, slot, -1), axis=0)
    valid_length = jnp.where(start >= 0, slot - start, slot + history.length)
    before = jnp.maximum(jnp.arange(size)[:, None] - (size - history.length), 0)
    tokens = make_tokens(
        jnp.concatenate([jnp.moveaxis(history.obs, 1, 0), obs]),
        jnp.concatenate([jnp.moveaxis(history.last_action, 1, 0), last_action]),
        num_actions,
    )
    return Stretch(tokens, jnp.minimum(jnp.concatenate([before, valid_length]), size))


def unfold(stretch: Stretch, window: int) -> Stretch:
    """Returns every window as a separate stretch: [L - 1 + T, B, ...] to [L, T B, ...], the newest step last."""
    num_slots = stretch.valid_length.shape[0] - window + 1

    def cut(x: jax.Array) -> jax.Array:
        return jnp.reshape(
            jnp.stack([x[step : step + num_slots] for step in range(window)]), (window, -1, *x.shape[2:])
        )

    return jax.tree.map(cut, stretch)


def count_windows(num_slots: int, window: int) -> tuple[int, int]:
    """Returns the number of windows that `split_windows` makes of L - 1 + T slots, and its largest offset.

    The number is small enough that, over all offsets, a window can end at each of the T slots.
    """
    count = max((num_slots - window + 1) // window, 1)
    return count, num_slots - count * window


def split_windows(stretch: Stretch, window: int, offset: jax.Array) -> tuple[Stretch, jax.Array]:
    """Returns non-overlapping windows, each as a separate stretch: [L - 1 + T, B, ...] to [L, W B, ...].

    Args:
        stretch: T >= 1 slots after the history.
        window: L.
        offset: [] int32 number of leading slots to skip, see `count_windows`.

    Returns:
        The W windows, and the slot [W] of each window's last step, counted from the stretch's first slot.
    """
    count, _ = count_windows(stretch.valid_length.shape[0], window)

    def split(x: jax.Array) -> jax.Array:
        x = jax.lax.dynamic_slice_in_dim(x, offset, count * window)
        x = jnp.swapaxes(jnp.reshape(x, (count, window, *x.shape[1:])), 0, 1)
        return jnp.reshape(x, (window, -1, *x.shape[3:]))

    return jax.tree.map(split, stretch), offset + window * jnp.arange(1, count + 1) - 1
