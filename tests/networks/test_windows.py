"""Windows against a slow reference that walks back from each slot, one episode at a time."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.networks.windows import (
    History,
    Stretch,
    advance,
    count_windows,
    empty_history,
    make_stretch,
    make_tokens,
    split_windows,
    unfold,
)

pytestmark = pytest.mark.slow

NUM_SLOTS, NUM_AGENTS, OBS, NUM_ACTIONS = 6, 2, 3, 4
# Slots before the row, in each row's own stream; and where in the stream episodes begin.
STREAMS = {
    "begins with the row": (0, [0]),
    "begins within the row": (0, [0, 3]),
    "carry forgotten, mid-episode": (0, []),
    "carry forgotten, then a start": (0, [2]),
    "one step before the row": (3, [0, 2]),
    "two steps before the row, then two starts": (4, [0, 2, 5, 6]),
    "three steps before the row": (3, [0]),
    "more than a window before the row": (12, [0]),
    "more than a window, then a start at slot 0": (12, [0, 12]),
    "more than a window, then a start at slot 4": (12, [0, 1, 16]),
    "every slot a start": (5, range(11)),
}
WINDOWS = [1, 2, 4, 9]


class Stream(NamedTuple):
    """What one environment copy went through; the row is its last slots. Noise, also where nothing may be read."""

    obs: np.ndarray
    last_action: np.ndarray
    is_first: np.ndarray

    @property
    def past(self) -> int:
        return len(self.is_first) - NUM_SLOTS


@functools.cache
def streams() -> list[Stream]:
    generator, made = np.random.default_rng(0), []
    for past, starts in STREAMS.values():
        is_first = np.isin(np.arange(past + NUM_SLOTS), list(starts))
        obs = generator.normal(size=(len(is_first), NUM_AGENTS, OBS)).astype(np.float32)
        last_action = generator.integers(NUM_ACTIONS, size=(len(is_first), NUM_AGENTS)).astype(np.int32)
        made.append(Stream(obs, np.where(is_first[:, None], -1, last_action), is_first))
    return made


def _slow_window(stream: Stream, slot: int, window: int) -> np.ndarray:
    """Tokens [n, A, F] of the present steps, the newest first; slots are counted from the row's first."""
    steps, position = [], stream.past + slot
    while True:
        one_hot = np.zeros((NUM_AGENTS, NUM_ACTIONS))
        for agent, action in enumerate(stream.last_action[position]):
            if action >= 0:
                one_hot[agent, action] = 1
        steps.append(np.concatenate([stream.obs[position], one_hot], axis=-1))
        if stream.is_first[position] or position == 0 or len(steps) == window:
            return np.stack(steps)
        position -= 1


def _slow_history(window: int) -> History:
    """Before slot 0 of each row; what is absent is noise."""
    generator, size = np.random.default_rng(1), window - 1
    obs = 1000 + generator.normal(size=(len(STREAMS), size, NUM_AGENTS, OBS)).astype(np.float32)
    last_action = generator.integers(NUM_ACTIONS, size=obs.shape[:-1]).astype(np.int32)
    lengths = np.zeros(len(STREAMS), np.int32)
    for row, stream in enumerate(streams()):
        count = 0
        while count < min(size, stream.past):
            position = stream.past - 1 - count
            obs[row, size - 1 - count] = stream.obs[position]
            last_action[row, size - 1 - count] = stream.last_action[position]
            count += 1
            if stream.is_first[position]:
                break
        lengths[row] = count
    return History(jnp.asarray(obs), jnp.asarray(last_action), jnp.asarray(lengths))


def _row(field: str) -> np.ndarray:
    """[T, B, ...] of the rows."""
    return np.stack([getattr(stream, field)[stream.past :] for stream in streams()], axis=1)


@functools.cache
def row_stretch(window: int) -> Stretch:
    make = jax.jit(make_stretch, static_argnums=4)
    return make(_slow_history(window), _row("obs"), _row("last_action"), _row("is_first"), NUM_ACTIONS)


def _assert_window(tokens, valid_length, expected: np.ndarray, label) -> None:
    """Tokens [L, A, F], the newest last, and the valid_length of the newest, against the present steps."""
    assert int(valid_length) + 1 == len(expected), label
    np.testing.assert_array_equal(np.asarray(tokens)[::-1][: len(expected)], expected, err_msg=str(label))


def test_the_reference_meets_every_length_of_history_and_window():
    assert set(np.asarray(_slow_history(4).length)) == {0, 1, 2, 3}
    lengths = {len(_slow_window(stream, slot, 4)) for stream in streams() for slot in range(NUM_SLOTS)}
    assert lengths == {1, 2, 3, 4}


def test_a_token_is_the_observation_and_the_one_hot_previous_action():
    tokens = make_tokens(jnp.asarray([[0.5, 2.0], [0.5, 2.0], [7.0, 8.0]]), jnp.asarray([0, 2, -1]), 3)
    np.testing.assert_array_equal(tokens, [[0.5, 2, 1, 0, 0], [0.5, 2, 0, 0, 1], [7, 8, 0, 0, 0]])
    assert tokens.dtype == jnp.float32


def test_span_equals_a_hand_example():
    """Windows of 4. Two slots of history, then an episode that ends after slot 2; no history, and no start at all."""
    history = empty_history(2, 1, 1, window=4).replace(length=jnp.asarray([2, 0]))
    is_first = np.array([[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]], bool).T
    stretch = make_stretch(history, jnp.zeros((6, 2, 1, 1)), jnp.zeros((6, 2, 1), jnp.int32), is_first, 2)
    np.testing.assert_array_equal(stretch.valid_length[:, 0], [0, 0, 1, 2, 3, 3, 0, 1, 2])
    np.testing.assert_array_equal(stretch.valid_length[3:, 1], [0, 1, 2, 3, 3, 3])


@pytest.mark.parametrize("window", WINDOWS)
def test_windows_of_a_row_equal_the_reference(window):
    stretch = row_stretch(window)
    tokens, valid_length = np.asarray(stretch.tokens), np.asarray(stretch.valid_length)
    assert tokens.shape == (window - 1 + NUM_SLOTS, len(STREAMS), NUM_AGENTS, OBS + NUM_ACTIONS)
    for row, stream in enumerate(streams()):
        for slot in range(NUM_SLOTS):
            here = tokens[slot : slot + window, row]
            _assert_window(here, valid_length[window - 1 + slot, row], _slow_window(stream, slot, window), (row, slot))


@pytest.mark.parametrize("window", WINDOWS)
def test_span_of_every_slot_stays_within_its_episode_and_what_is_at_hand(window):
    """Layers of a transformer look back from slots of the history too, as far as these are present."""
    size, valid_length, length = (
        window - 1,
        np.asarray(row_stretch(window).valid_length),
        np.asarray(_slow_history(window).length),
    )
    for row in range(len(STREAMS)):
        for slot in range(size):
            expected = max(slot - (size - length[row]), 0)
            assert valid_length[slot, row] == expected
    assert valid_length.min() >= 0 and valid_length.max() <= size
    # Looking back from a slot that a window reaches leads no further than the window does.
    for slot in range(1, len(valid_length)):
        within = valid_length[slot] > 0
        assert np.all(valid_length[slot - 1][within] >= valid_length[slot][within] - 1)


@pytest.mark.parametrize("window", WINDOWS)
def test_unfolded_windows_equal_the_reference(window):
    unfolded = jax.jit(unfold, static_argnums=1)(row_stretch(window), window)
    tokens, valid_length = np.asarray(unfolded.tokens), np.asarray(unfolded.valid_length)
    assert valid_length.shape == (window, NUM_SLOTS * len(STREAMS)) and tokens.shape[:2] == valid_length.shape
    for row, stream in enumerate(streams()):
        for slot in range(NUM_SLOTS):
            index = slot * len(STREAMS) + row
            _assert_window(tokens[:, index], valid_length[-1, index], _slow_window(stream, slot, window), (row, slot))


@pytest.mark.parametrize("window", WINDOWS)
def test_carrying_steps_and_gathering_a_row_give_the_same_windows(window):
    """From the stream's beginning on: the history before the row, and every window in it."""
    step_on, make = jax.jit(advance), jax.jit(make_stretch, static_argnums=4)
    first = max(stream.past for stream in streams())
    history = empty_history(len(STREAMS), NUM_AGENTS, OBS, window)
    for now in range(-first, NUM_SLOTS):
        # Before a stream begins its carry is reset time and again, as by an episode that takes no step.
        has_begun = np.array([stream.past + now >= 0 for stream in streams()])
        at = [max(stream.past + now, 0) for stream in streams()]
        obs, last_action, is_first = (
            np.stack([getattr(stream, field)[slot] for stream, slot in zip(streams(), at, strict=True)])
            for field in Stream._fields
        )
        if now >= 0:
            stretch = make(history, obs[None], last_action[None], is_first[None], NUM_ACTIONS)
            assert stretch.valid_length.shape[0] == window
            for row, stream in enumerate(streams()):
                expected = _slow_window(stream, now, window)
                _assert_window(stretch.tokens[:, row], stretch.valid_length[-1, row], expected, (row, now))
        if now == 0:
            np.testing.assert_array_equal(history.length, _slow_history(window).length)
        moved = step_on(history, obs, last_action, is_first)
        history = moved.replace(length=jnp.where(has_begun, moved.length, 0))
    assert history.obs.shape == (len(STREAMS), window - 1, NUM_AGENTS, OBS)


def test_advance_equals_a_hand_example():
    history = empty_history(2, num_agents=1, obs_size=1, window=3)
    np.testing.assert_array_equal(history.length, [0, 0])
    np.testing.assert_array_equal(history.last_action, -1)
    # Row 1 starts anew at the third of four steps.
    for step, starts in enumerate([(True, True), (False, False), (False, True), (False, False)]):
        obs, last_action = jnp.full((2, 1, 1), 10.0 + step), jnp.full((2, 1), step, jnp.int32)
        history = advance(history, obs, last_action, jnp.asarray(starts))
        np.testing.assert_array_equal(history.length, [min(step + 1, 2), [1, 2, 1, 2][step]])
    np.testing.assert_array_equal(history.obs[:, :, 0, 0], [[12, 13], [12, 13]])
    np.testing.assert_array_equal(history.last_action[:, :, 0], [[2, 3], [2, 3]])


@pytest.mark.parametrize("window", WINDOWS)
def test_what_lies_before_an_episode_is_in_none_of_its_windows(window):
    """Everything outside the reference's windows is replaced; no present step of the windows changes."""
    present = np.zeros((window - 1 + NUM_SLOTS, len(STREAMS)), bool)
    for row, stream in enumerate(streams()):
        count = len(_slow_window(stream, NUM_SLOTS - 1, window))
        present[len(present) - count :, row] = True
    history = _slow_history(window)
    in_history, in_row = present[: window - 1].T[..., None], present[window - 1 :][..., None]
    changed = History(
        jnp.where(in_history[..., None], history.obs, -7.0),
        jnp.where(in_history, history.last_action, 0),
        history.length,
    )
    obs = np.where(in_row[..., None], _row("obs"), -7.0)
    last_action = np.where(in_row, _row("last_action"), 0)
    make = jax.jit(make_stretch, static_argnums=4)
    stretch = make(changed, obs, last_action, _row("is_first"), NUM_ACTIONS)
    for row, stream in enumerate(streams()):
        expected = _slow_window(stream, NUM_SLOTS - 1, window)
        _assert_window(stretch.tokens[-window:, row], stretch.valid_length[-1, row], expected, row)


@pytest.mark.parametrize("window", WINDOWS)
def test_windows_split_without_overlap_equal_the_reference(window):
    stretch, split = row_stretch(window), jax.jit(split_windows, static_argnums=1)
    num_slots, num_rows = stretch.valid_length.shape
    count, last_offset = count_windows(num_slots, window)
    ends = set()
    for offset in range(last_offset + 1):
        windows, last = split(stretch, window, jnp.asarray(offset, jnp.int32))
        ends |= set(np.asarray(last).tolist())
        assert windows.valid_length.shape == (window, count * num_rows)
        np.testing.assert_array_equal(last, [offset + (n + 1) * window - 1 for n in range(count)])
        for n in range(count):
            slot = int(last[n]) - (window - 1)
            assert 0 <= slot < NUM_SLOTS
            for row, stream in enumerate(streams()):
                index = n * num_rows + row
                expected = _slow_window(stream, slot, window)
                _assert_window(windows.tokens[:, index], windows.valid_length[-1, index], expected, (offset, n, row))
                whole = slice(slot, slot + window)
                np.testing.assert_array_equal(windows.tokens[:, index], stretch.tokens[whole, row])
                np.testing.assert_array_equal(windows.valid_length[:, index], stretch.valid_length[whole, row])
    assert ends == set(range(window - 1, num_slots))
