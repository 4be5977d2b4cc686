"""Trajectory windows: the last L (observation, previous action) pairs of each agent, within the running episode.

Overlapping windows share their steps, so they are not cut out one by one. A stretch of time is kept once, together
with each slot's `valid_length`: how many of the slots before it belong to the same episode. The window at a slot is
then the slot and the min(valid_length, L - 1) before it; whatever lies further back, or before the team's episode
began, is absent.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct


class History(struct.PyTreeNode):
    """The L - 1 steps before the next one, as acting carries them and as a stored row begins with them.

    Attributes:
        obs: [B, L - 1, A, O], the newest last.
        last_action: [B, L - 1, A] int32, the action before each observation, -1 at an episode's start.
        length: [B] int32, how many of them are of the running episode; the others are absent.
    """

    obs: jax.Array
    last_action: jax.Array
    length: jax.Array


class Stretch(struct.PyTreeNode):
    """Consecutive slots as the auto-encoder reads them. Axes [K + T, B, ...]: K = L - 1 slots of history, then T slots.

    Attributes:
        tokens: [K + T, B, A, F] the observation and the one-hot previous action (all 0 at an episode's start).
        valid_length: [K + T, B] int32, slots before this one that are of the same episode and at hand, at most L - 1.
    """

    tokens: jax.Array
    valid_length: jax.Array


def empty_history(num_rows: int, num_agents: int, obs_size: int, window: int) -> History:
    """Before the first step of an episode: everything is absent."""
    shape = (num_rows, window - 1, num_agents)
    return History(jnp.zeros((*shape, obs_size)), jnp.full(shape, -1, jnp.int32), jnp.zeros(num_rows, jnp.int32))


def advance(history: History, obs: jax.Array, last_action: jax.Array, is_first: jax.Array) -> History:
    """The history after one more step.

    Args:
        history: before the step.
        obs: [B, A, O].
        last_action: [B, A] int32.
        is_first: [B] bool, the step starts an episode: what was before is absent from now on.
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
    """[..., O] and [...] to [..., O + U]: what one agent saw, and had done before, in one step."""
    return jnp.concatenate([obs, jax.nn.one_hot(last_action, num_actions, dtype=obs.dtype)], axis=-1)


def make_stretch(
    history: History, obs: jax.Array, last_action: jax.Array, is_first: jax.Array, num_actions: int
) -> Stretch:
    """A stretch of T slots with the history before it.

    Args:
        history: before slot 0.
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
    """Every window as a stretch of its own: [L - 1 + T, B, ...] to [L, T B, ...], the newest step last."""
    num_slots = stretch.valid_length.shape[0] - window + 1

    def cut(x: jax.Array) -> jax.Array:
        return jnp.reshape(
            jnp.stack([x[step : step + num_slots] for step in range(window)]), (window, -1, *x.shape[2:])
        )

    return jax.tree.map(cut, stretch)


def count_windows(num_slots: int, window: int) -> tuple[int, int]:
    """How many windows `split_windows` makes of L - 1 + T slots, and its largest offset.

    Few enough that, over all offsets, a window can end at each of the T slots.
    """
    count = max((num_slots - window + 1) // window, 1)
    return count, num_slots - count * window


def split_windows(stretch: Stretch, window: int, offset: jax.Array) -> tuple[Stretch, jax.Array]:
    """Windows that do not overlap, each as a stretch of its own: [L - 1 + T, B, ...] to [L, W B, ...].

    Args:
        stretch: of T >= 1 slots after the history.
        window: L.
        offset: [] int32 slots to leave out in front, see `count_windows`.

    Returns:
        The W windows, and the slot [W] of each one's last step, counted from the stretch's first slot.
    """
    count, _ = count_windows(stretch.valid_length.shape[0], window)

    def split(x: jax.Array) -> jax.Array:
        x = jax.lax.dynamic_slice_in_dim(x, offset, count * window)
        x = jnp.swapaxes(jnp.reshape(x, (count, window, *x.shape[1:])), 0, 1)
        return jnp.reshape(x, (window, -1, *x.shape[3:]))

    return jax.tree.map(split, stretch), offset + window * jnp.arange(1, count + 1) - 1
