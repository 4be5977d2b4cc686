import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import TINY_ENV, counters, made_up_rows, marks, tiny_config
from scipy import stats

from limae_jax.replay.base import Replay
from limae_jax.replay.uniform import uniform_replay

NUM_SLOTS, CAPACITY, ADDED, SAMPLED = 4, 7, 3, 5


class Jitted(NamedTuple):
    replay: Replay
    add: Any
    sample: Any
    sample_often: Any
    empty: Any


@functools.cache
def jitted(dtype: str = "float32") -> Jitted:
    sizes = {"row_length": NUM_SLOTS - 1, "capacity_rows": CAPACITY, "batch_rows": SAMPLED, "min_rows": 1}
    replay = uniform_replay(tiny_config(replay=sizes | {"observation_dtype": dtype}).replay)
    often = jax.jit(lambda state, keys: jax.vmap(lambda key: replay.sample(state, key, counters(0)).rows)(keys))
    return Jitted(replay, jax.jit(replay.add), jax.jit(replay.sample), often, replay.init(_rows(0)))


def _rows(first: int, count: int = ADDED):
    """Rows first, first + 1, ...: each is noise, with its number as every reward."""
    rows = made_up_rows(first, [marks([(2, True)], NUM_SLOTS)] * count, hidden_size=5)
    return rows.replace(reward=np.broadcast_to(np.arange(first, first + count, dtype=np.float32), (NUM_SLOTS, count)))


def _filled(num_adds: int, dtype: str = "float32"):
    """The state after several adds, and the rows by number."""
    state, by_number = jitted(dtype).empty, {}
    for i in range(num_adds):
        rows = _rows(i * ADDED)
        state = jitted(dtype).add(state, rows)
        for column in range(ADDED):
            start = jax.tree.map(lambda x, c=column: np.asarray(x)[c], rows.start)
            slots = jax.tree.map(lambda x, c=column: np.asarray(x)[:, c], rows.replace(start=()))
            by_number[i * ADDED + column] = slots.replace(start=start)
    return state, by_number


def _drawn(state, seed: int = 0, dtype: str = "float32"):
    batch = jax.tree.map(np.asarray, jitted(dtype).sample(state, jax.random.key(seed), counters(0)).rows)
    return batch, batch.reward[0].astype(int)


def test_what_goes_in_comes_out():
    state, by_number = _filled(2)
    batch, numbers = _drawn(state)
    assert batch.obs.shape == (NUM_SLOTS, SAMPLED, TINY_ENV.num_agents, TINY_ENV.obs_size)
    assert batch.start.hidden.shape == (SAMPLED, TINY_ENV.num_agents, 5)
    for column, number in enumerate(numbers):
        start = jax.tree.map(lambda x, c=column: x[c], batch.start)
        slots = jax.tree.map(lambda x, c=column: x[:, c], batch.replace(start=())).replace(start=start)
        jax.tree.map(np.testing.assert_array_equal, slots, by_number[number])
    for drawn, added in zip(jax.tree.leaves(batch), jax.tree.leaves(_rows(0)), strict=True):
        assert drawn.dtype == added.dtype


@pytest.mark.parametrize(
    "num_adds, stored",
    [(1, range(0, 3)), (2, range(0, 6)), (3, range(2, 9)), (4, range(5, 12)), (6, range(11, 18))],
)
def test_sampling_is_uniform_over_the_newest_rows_and_nothing_else(num_adds, stored):
    """Also where the ring's end falls into an add; unwritten rows would show as number 0 with no slot filled."""
    state, _ = _filled(num_adds)
    batches = jitted().sample_often(state, jax.random.split(jax.random.key(0), 300))
    counts = np.bincount(np.asarray(batches.reward[:, 0]).astype(int).ravel(), minlength=stored.stop)
    assert batches.filled[:, 0].all()
    assert counts[: stored.start].sum() == 0 and len(counts) == stored.stop
    assert stats.chisquare(counts[stored.start :]).pvalue > 1e-3


def test_row_number_is_at_its_place_in_the_ring():
    state, by_number = _filled(4)
    replay = jitted().replay
    ring, rest = replay.split(state)
    for number in range(5, 12):
        # row_axis counts a seed axis in front, which is not there for one seed.
        reward = np.take(np.asarray(ring.reward), number % CAPACITY, axis=replay.row_axis - 1)
        np.testing.assert_array_equal(reward.reshape(-1), by_number[number].reward)
    joined = replay.join(ring, rest)
    jax.tree.map(np.testing.assert_array_equal, joined, state)


def test_keys_decide_what_is_drawn():
    state, _ = _filled(2)
    np.testing.assert_array_equal(_drawn(state, 1)[1], _drawn(state, 1)[1])
    assert (_drawn(state, 1)[1] != _drawn(state, 2)[1]).any()


def test_half_precision_is_storage_only():
    state, by_number = _filled(2, "float16")
    ring, _ = jitted("float16").replay.split(state)
    assert ring.obs.dtype == ring.state.dtype == jnp.float16
    batch, numbers = _drawn(state, dtype="float16")
    assert batch.obs.dtype == batch.state.dtype == np.float32
    for column, number in enumerate(numbers):
        row = by_number[number]
        for name in ("obs", "state"):
            exact, seen = getattr(row, name), getattr(batch, name)[:, column]
            np.testing.assert_array_equal(seen, exact.astype(np.float16).astype(np.float32))
        np.testing.assert_array_equal(batch.start.hidden[column], row.start.hidden)
