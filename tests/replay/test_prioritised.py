"""Draws follow the priorities, and nothing else is ever drawn. Hand calculations are in the docstrings."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import TINY_ENV, counters, made_up_rows, marks, tiny_config
from scipy import stats

from limae_jax.replay.prioritised import (
    PrioritisedState,
    draw,
    importance_exponent,
    last_of_same,
    prioritised_replay,
    relative_probabilities,
)
from limae_jax.replay.uniform import uniform_replay
from limae_jax.types import Sample

pytestmark = pytest.mark.slow

NUM_SLOTS, CAPACITY, ADDED, SAMPLED = 4, 7, 3, 5


def _config(**numbers):
    sizes = {"row_length": NUM_SLOTS - 1, "capacity_rows": CAPACITY, "batch_rows": SAMPLED, "min_rows": 1}
    return tiny_config(replay=sizes | {"kind": "prioritised"} | numbers).replay


@functools.cache
def _jitted(**numbers):
    replay = prioritised_replay(_config(**numbers), ADDED)
    often = jax.jit(lambda state, keys: jax.vmap(lambda key: replay.sample(state, key, counters(0)))(keys))
    return replay._replace(
        add=jax.jit(replay.add),
        sample=jax.jit(replay.sample),
        update_priority=jax.jit(replay.update_priority),
    ), often


def _rows(first: int):
    """Rows first, first + 1, ...: each is noise, with its number as every reward."""
    rows = made_up_rows(first, [marks([(2, True)], NUM_SLOTS)] * ADDED, hidden_size=5)
    numbers = np.arange(first, first + ADDED, dtype=np.float32)
    return rows.replace(reward=np.broadcast_to(numbers, (NUM_SLOTS, ADDED)))


def _filled(replay, num_adds: int) -> PrioritisedState:
    state = replay.init(_rows(0))
    for number in range(num_adds):
        state = replay.add(state, _rows(number * ADDED))
    return state


def _update(replay, state, index, priority) -> PrioritisedState:
    return replay.update_priority(state, Sample((), jnp.asarray(index)), jnp.asarray(priority, jnp.float32))


def _known(replay, num_adds: int, *priority: float) -> PrioritisedState:
    """A replay whose places have these priorities, whatever rows are there."""
    return _update(replay, _filled(replay, num_adds), np.arange(len(priority)), priority)


def _numbers(sample) -> np.ndarray:
    """The numbers of the rows that were drawn."""
    return np.asarray(sample.rows.reward[..., 0, :]).astype(int)


def _counts(state, often, draws: int = 2000) -> np.ndarray:
    """How often each place was drawn, of `draws` batches."""
    sample = often(state, jax.random.split(jax.random.key(1), draws))
    assert sample.rows.filled[:, 0].all()
    return np.bincount(np.asarray(sample.index).ravel(), minlength=CAPACITY)


def _check_frequencies(counts, wanted) -> None:
    wanted = np.asarray(wanted) / np.sum(wanted)
    assert counts[wanted == 0].sum() == 0 and len(counts) == len(wanted)
    expected = wanted[wanted > 0] * counts.sum()
    assert stats.chisquare(counts[wanted > 0], expected).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_frequencies_are_the_probabilities(alpha):
    replay, often = _jitted(priority_exponent=alpha)
    priority = np.array([1.0, 2.0, 4.0, 8.0, 0.5, 3.0, 1e-3])
    _check_frequencies(_counts(_known(replay, 3, *priority), often), (priority + 1e-6) ** alpha)


@pytest.mark.parametrize(("num_adds", "stored"), [(1, {0, 1, 2}), (2, set(range(6))), (3, set(range(2, 9)))])
def test_exponent_0_is_uniform_replay(num_adds, stored):
    """Also where the ring's end falls into an add; a place without a row would show as number 0 with no slot filled."""
    replay, often = _jitted(priority_exponent=0.0)
    state = _known(replay, num_adds, *range(1, CAPACITY + 1))
    state = state.replace(priority=jnp.where(jnp.arange(CAPACITY) < num_adds * ADDED, state.priority, jnp.inf))
    sample = often(state, jax.random.split(jax.random.key(0), 600))
    counts = np.bincount(_numbers(sample).ravel())
    assert set(np.flatnonzero(counts)) == stored and sample.rows.filled[:, 0].all()
    assert stats.chisquare(counts[sorted(stored)]).pvalue > 1e-3
    np.testing.assert_array_equal(sample.weight, 1.0)


def test_a_part_of_the_mass_has_one_draw_each():
    """Of probabilities 1/2, 1/4, 1/8, 1/8 and eight draws there are 4, 2, 1 and 1, whatever the key."""
    mass = jnp.asarray([4.0, 2.0, 0.0, 1.0, 1.0])
    for seed in range(20):
        assert np.bincount(draw(jax.random.key(seed), mass, 8)).tolist() == [4, 2, 0, 1, 1]


@pytest.mark.parametrize("mass", ["ends in nothing", "begins with nothing", "tiny", "one"])
def test_no_entry_without_mass_is_drawn_where_rounding_bites(mass):
    generator = np.random.default_rng(0)
    masses = {
        "ends in nothing": np.r_[generator.random(3000), np.zeros(500)],
        "begins with nothing": np.r_[np.zeros(500), generator.random(3000)],
        "tiny": np.where(generator.random(4000) < 0.5, 0.0, 10.0 ** generator.uniform(-37, 3, 4000)),
        "one": np.arange(50) == 17,
    }
    values = jnp.asarray(masses[mass], jnp.float32)
    keys = jax.random.split(jax.random.key(0), 300)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: draw(key, values, 16)))(keys))
    assert (np.asarray(values)[drawn] > 0).all()


def test_the_very_end_of_the_mass_is_still_a_row(monkeypatch):
    """uniform() = 1 never happens, but a sum in another order can bring the last point to the end, or past it."""
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.full(shape, 1.0))
    assert draw(jax.random.key(0), jnp.asarray([1.0, 1.0, 0.0]), 2).tolist() == [1, 1]
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.full(shape, 0.0))
    assert draw(jax.random.key(0), jnp.asarray([0.0, 1.0, 1.0]), 2).tolist() == [1, 2]


def test_weights_by_hand():
    """P = 1/2, 1/4, 1/8, 1/8, N = 4: (N P)^-1/2 = 0.7071, 1, 1.4142, 1.4142, divided by the largest: 1/2, 0.7071, 1, 1.

    With beta 1: 1/4, 1/2, 1, 1.
    """
    for beta, wanted in ((0.5, [0.5, 0.5**0.5, 1.0, 1.0]), (1.0, [0.25, 0.5, 1.0, 1.0]), (0.0, [1.0] * 4)):
        replay, _ = _jitted(priority_exponent=1.0, importance_exponent=beta, capacity_rows=6, batch_rows=6)
        state = _known(replay, 2, 4.0, 2.0, 1.0, 1.0, 0.0, 0.0)
        for seed in range(5):
            sample = replay.sample(state, jax.random.key(seed), counters(0))
            assert set(np.asarray(sample.index)) <= {0, 1, 2, 3}
            # Six draws of six parts: the last one is of a row with P = 1/8.
            np.testing.assert_allclose(sample.weight, np.array(wanted)[np.asarray(sample.index)], rtol=1e-4)


def test_weights_make_up_for_the_draws_in_full():
    """With beta 1 and weights that are not divided, the mean of a drawn quantity is that over all rows."""
    replay, often = _jitted(priority_exponent=0.6, importance_exponent=1.0)
    state = _known(replay, 3, 1.0, 2.0, 4.0, 8.0, 0.5, 3.0, 1.0)
    mass = np.asarray(relative_probabilities(_config(priority_exponent=0.6), ADDED, state))
    share = mass / mass.sum()
    sample = often(state, jax.random.split(jax.random.key(2), 4000))
    index = np.asarray(sample.index)
    undivided = np.asarray(sample.weight) * (1 / (CAPACITY * share[index])).max(axis=1, keepdims=True)
    np.testing.assert_allclose(undivided, 1 / (CAPACITY * share[index]), rtol=1e-4)
    assert abs(np.mean(undivided * index) - np.arange(CAPACITY).mean()) < 0.05


@pytest.mark.parametrize(("env_steps", "beta"), [(0, 0.4), (250, 0.55), (500, 0.7), (1000, 1.0), (2**30, 1.0)])
def test_the_exponent_of_the_weights_rises_with_environment_steps_to_1(env_steps, beta):
    config = _config(importance_exponent=0.4, importance_anneal_env_steps=1000)
    assert importance_exponent(config, counters(env_steps)) == pytest.approx(beta)


def test_the_weights_of_a_draw_are_those_of_the_seeds_own_counters():
    replay, _ = _jitted(priority_exponent=1.0, importance_exponent=0.0, importance_anneal_env_steps=1000)
    state, key = _known(replay, 3, 1.0, 2.0, 4.0, 8.0, 0.5, 3.0, 1.0), jax.random.key(0)
    early, late = (replay.sample(state, key, counters(env_steps)) for env_steps in (0, 2000))
    np.testing.assert_array_equal(early.index, late.index)
    np.testing.assert_array_equal(early.weight, 1.0)
    priority = np.asarray(state.priority)[np.asarray(late.index)]
    np.testing.assert_allclose(late.weight, priority.min() / priority, rtol=1e-4)


def test_a_new_row_counts_as_the_largest_known_priority():
    replay, often = _jitted(priority_exponent=1.0)
    state = _known(replay, 2, 1.0, 2.0, 4.0, 8.0, 0.5, 3.0)
    # Number 6 is new at place 6, 7 and 8 are at 0 and 1.
    state = replay.add(state, _rows(6))
    _check_frequencies(_counts(state, often), [8, 8, 4, 8, 0.5, 3, 8])
    # They count as the largest there is now, not as that of when they were added.
    state = _update(replay, state, [3, 2], [1.0, 16.0])
    _check_frequencies(_counts(state, often), [16, 16, 16, 1, 0.5, 3, 16])


def test_rows_that_nobody_has_learned_from_are_drawn_alike():
    replay, often = _jitted(priority_exponent=1.0)
    _check_frequencies(_counts(_filled(replay, 2), often), [1] * 6 + [0])


@pytest.mark.parametrize("num_adds", [2, 3, 4, 5, 8])
def test_with_equal_errors_the_newest_rows_are_the_likeliest(num_adds):
    """Rows of one add are as old as each other, wherever the ring's end is."""
    replay, often = _jitted(recency_decay=0.5)
    state = _known(replay, num_adds, *[2.0] * CAPACITY)
    newest = num_adds * ADDED - 1
    wanted = np.zeros(CAPACITY)
    for number in range(max(0, newest - CAPACITY + 1), newest + 1):
        wanted[number % CAPACITY] = 0.5 ** ((newest - number) // ADDED)
    assert wanted[newest % CAPACITY] == wanted.max() == 1
    _check_frequencies(_counts(state, often), wanted)


def test_rows_grow_older_after_they_were_added():
    """A row's share halves with each add, though nothing is learned of it."""
    replay, _ = _jitted(recency_decay=0.5)
    config, shares, state = _config(recency_decay=0.5), [], _filled(replay, 1)
    for number in range(2):
        shares.append(np.asarray(relative_probabilities(config, ADDED, state))[:3])
        state = replay.add(state, _rows((number + 1) * ADDED))
    np.testing.assert_allclose(shares, [[1.0] * 3, [0.5] * 3])


def test_recency_is_beside_the_priority_and_not_under_its_exponent():
    config = _config(priority_exponent=0.5, recency_decay=0.5)
    state = _known(_jitted()[0], 2, *[4.0, 1.0, 1.0, 1.0, 1.0, 4.0])
    mass = relative_probabilities(config, ADDED, state)
    np.testing.assert_allclose(mass, [0.5, 0.25, 0.25, 0.5, 0.5, 1.0, 0.0], rtol=1e-4)


def test_ages_beyond_what_a_number_can_hold_draw_newer_rows_only():
    replay, often = _jitted(recency_decay=1e-30)
    assert _counts(_known(replay, 3, *[2.0] * CAPACITY), often)[[2, 3, 4, 5]].sum() == 0


def test_priorities_are_of_the_rows_that_were_drawn():
    replay, _ = _jitted(priority_exponent=1.0)
    state = _filled(replay, 4)
    sample = replay.sample(state, jax.random.key(3), counters(0))
    np.testing.assert_array_equal(np.asarray(sample.index), _numbers(sample) % CAPACITY)
    after = replay.update_priority(state, sample, sample.rows.reward[0])
    for place in range(CAPACITY):
        number = place if place >= 5 else place + CAPACITY
        wanted = number + 1e-6 if place in np.asarray(sample.index) else np.inf
        assert after.priority[place] == pytest.approx(wanted)


def test_of_a_row_drawn_twice_the_last_priority_counts():
    replay, _ = _jitted()
    state = _known(replay, 3, *[1.0] * CAPACITY)
    after = _update(replay, state, [2, 4, 2, 2, 4], [5.0, 6.0, 9.0, 7.0, 8.0])
    np.testing.assert_allclose(after.priority, [1, 1, 7, 1, 8, 1, 1], rtol=1e-5)
    # Not for the order of writes, which only the CPU keeps: each writes the last one's.
    assert last_of_same(jnp.asarray([2, 4, 2, 2, 4])).tolist() == [3, 4, 3, 3, 4]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_priority_that_is_not_finite_counts_as_the_largest(bad):
    replay, often = _jitted(priority_exponent=1.0)
    state = _known(replay, 3, 1.0, bad, 4.0, 8.0, 0.5, 3.0, 1.0)
    _check_frequencies(_counts(state, often), [1, 8, 4, 8, 0.5, 3, 1])
    sample = replay.sample(state, jax.random.key(0), counters(0))
    assert np.isfinite(sample.weight).all()


def test_huge_and_vanishing_priorities_have_finite_weights():
    for alpha in (0.3, 1.0):
        replay, often = _jitted(priority_exponent=alpha, importance_exponent=1.0)
        state = _known(replay, 3, 3e38, 3e38, 3e38, 0.0, 0.0, 1e-30, 1.0)
        sample = often(state, jax.random.split(jax.random.key(0), 50))
        assert np.isfinite(sample.weight).all() and (np.asarray(sample.weight) <= 1).all()


def test_an_emptied_replay_knows_nothing():
    replay, often = _jitted(priority_exponent=1.0)
    ring, rest = replay.split(_known(replay, 3, *range(1, CAPACITY + 1)))
    assert not any(leaf.size > CAPACITY for leaf in jax.tree.leaves(rest))
    emptied = replay.join(jax.tree.map(jnp.zeros_like, ring), replay.emptied(rest))
    jax.tree.map(np.testing.assert_array_equal, emptied, replay.init(_rows(0)))
    _check_frequencies(_counts(replay.add(emptied, _rows(0)), often), [1, 1, 1, 0, 0, 0, 0])


def test_split_and_join_lose_nothing_and_rows_are_in_their_places():
    replay, _ = _jitted()
    state = _known(replay, 4, *range(1, CAPACITY + 1))
    ring, rest = replay.split(state)
    jax.tree.map(np.testing.assert_array_equal, replay.join(ring, rest), state)
    for number in range(5, 12):
        # row_axis counts a seed axis in front, which is not there for one seed.
        reward = np.take(np.asarray(ring.reward), number % CAPACITY, axis=replay.row_axis - 1)
        assert (reward == number).all()


def test_seeds_side_by_side_draw_as_each_alone():
    replay, _ = _jitted(recency_decay=0.9)
    states = [_known(replay, adds, *range(1, 4)) for adds in (2, 3)]
    keys = jax.random.split(jax.random.key(0), 2)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    both = jax.jit(jax.vmap(lambda state, key: replay.sample(state, key, counters(0))))(stacked, keys)
    for seed in range(2):
        alone = replay.sample(states[seed], keys[seed], counters(0))
        jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda x, s=seed: x[s], both), alone)


def test_half_precision_is_storage_only():
    replay, _ = _jitted(observation_dtype="float16")
    sample = replay.sample(_filled(replay, 2), jax.random.key(0), counters(0))
    assert sample.rows.obs.dtype == np.float32
    assert sample.rows.obs.shape == (NUM_SLOTS, SAMPLED, TINY_ENV.num_agents, TINY_ENV.obs_size)


@pytest.mark.parametrize("kind", ["uniform", "prioritised"])
def test_without_priorities_to_tell_nothing_changes(kind):
    replay = _jitted()[0] if kind == "prioritised" else uniform_replay(tiny_config().replay)
    state = _filled(replay, 2)
    sample = replay.sample(state, jax.random.key(0), counters(0))
    jax.tree.map(np.testing.assert_array_equal, replay.update_priority(state, sample, None), state)
    if kind == "uniform":
        after = replay.update_priority(state, sample, jnp.ones(len(sample.rows.reward[0])))
        jax.tree.map(np.testing.assert_array_equal, after, state)
