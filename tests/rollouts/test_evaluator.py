"""Episodes are played in batches of a bounded size; which are played does not change up to that size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import CountingEnv

from limae_jax.rollouts import evaluator
from limae_jax.rollouts.evaluator import play_episodes
from limae_jax.systems.base import Acted, ActorCarry, System

pytestmark = pytest.mark.slow

KEY = jax.random.key(5)
ENV = CountingEnv()


def initial_carry(num_rows):
    return ActorCarry(jnp.zeros((num_rows, 2, 3)), jnp.full((num_rows, 2), -1))


def act(params, carry, timestep, epsilon, key):
    return Acted(jnp.argmax(timestep.avail, axis=-1).astype(jnp.int32), carry)


def count_running(params, carry, timestep, is_running, errors):
    """How many steps were looked at, in place of errors."""
    return errors.replace(weight=errors.weight + jnp.sum(is_running))


TEAM = System(
    lambda key: {}, initial_carry, act, lambda counters: jnp.ones(()), lambda state, *_: state, (), count_running
)


@pytest.fixture
def at_once(monkeypatch):
    """Sets how many episodes are played side by side; reports of guesses say how many steps they are of."""
    monkeypatch.setattr(evaluator, "belief_metrics", lambda errors, spec: {"steps": errors.weight})
    return lambda number: monkeypatch.setattr(evaluator, "EPISODES_AT_ONCE", number)


def lengths_of(key, count):
    """What CountingEnv plays, worked out from the keys alone."""
    keys = jax.random.split(jax.random.split(key)[0], count)
    return [CountingEnv.lengths[int(jax.random.randint(one, (), 0, 3))] for one in keys]


def played(num_episodes):
    return jax.jit(lambda key: play_episodes(ENV, TEAM, {}, num_episodes, key))(KEY)


@pytest.mark.parametrize("num_episodes", [1, 7, 8])
def test_up_to_a_batch_nothing_changes(num_episodes, at_once):
    at_once(8)
    episodes, quality = played(num_episodes)
    assert episodes["length"].tolist() == lengths_of(KEY, num_episodes)
    assert int(quality["steps"]) == sum(lengths_of(KEY, num_episodes))


@pytest.mark.parametrize(
    ("num_episodes", "batches"), [(9, [5, 4]), (16, [8, 8]), (17, [6, 6, 5]), (25, [7, 7, 7, 4]), (33, [7] * 4 + [5])]
)
def test_more_are_played_in_batches_each_with_its_key(num_episodes, batches, at_once):
    at_once(8)
    episodes, quality = played(num_episodes)
    size, expected = batches[0], []
    for batch, count in enumerate(batches):
        expected += lengths_of(jax.random.fold_in(KEY, batch), size)[:count]
    assert episodes["length"].tolist() == expected and len(expected) == num_episodes
    assert {name: value.shape for name, value in episodes.items()} == dict.fromkeys(episodes, (num_episodes,))
    wins = [CountingEnv.is_won[CountingEnv.lengths.index(length)] for length in expected]
    assert episodes["win"].tolist() == wins
    # Those that the last batch has too many are not looked at.
    assert int(quality["steps"]) == sum(expected)


def test_memory_does_not_grow_with_the_number_of_episodes(at_once):
    at_once(256)

    def held(num_episodes):
        program = jax.jit(lambda key: play_episodes(ENV, TEAM, {}, num_episodes, key)).lower(KEY).compile()
        return program.memory_analysis().temp_size_in_bytes

    # What is kept of an episode is a few numbers.
    assert held(256 * 64) < 2 * held(256) + 256 * 64 * 40


def test_seeds_side_by_side_play_what_each_plays_alone(at_once):
    at_once(4)
    keys = jax.random.split(KEY, 3)
    together = jax.jit(jax.vmap(lambda key: play_episodes(ENV, TEAM, {}, 10, key)[0]["return"]))(keys)
    alone = [play_episodes(ENV, TEAM, {}, 10, key)[0]["return"] for key in keys]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_a_stochastic_policy_is_told_greedily_and_sampled():
    """The made-up team takes the worst legal action when it is greedy and the best when it is sampled."""

    def act(params, carry, timestep, exploration, key):
        worst, best = jnp.argmax(timestep.avail, axis=-1), 2 - jnp.argmax(timestep.avail[..., ::-1], axis=-1)
        return Acted(jnp.where(exploration == 0.25, best, worst).astype(jnp.int32), carry)

    def evaluated(sampling):
        team = TEAM._replace(act=act, belief_errors=None, sampling=sampling)
        found = jax.jit(lambda: evaluator.evaluate_seed(ENV, team, 8, (jnp.int32(0), {}, jnp.int32(0))))()
        return {name: float(value) for name, value in found.items()}

    greedy, both = evaluated(None), evaluated(0.25)
    assert {name: both[name] for name in greedy} == greedy
    assert set(both) - set(greedy) == {"test_return_mean_sampled", "test_win_rate_sampled"}
    assert both["test_return_mean_sampled"] > both["test_return_mean"]
    # How an episode ends depends on its start alone, and the starts are the same.
    assert both["test_win_rate_sampled"] == both["test_win_rate"]
