"""Rows and evaluations of games that the host plays, against hand-made scripts and the compiled rollout."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import CountingEnv
from doubles.scripted_games import ScriptedGames

from limae_jax.environments.vector import VectorEnv
from limae_jax.environments.workers.records import Steps
from limae_jax.rollouts.host_player import HostPlayer, means_of
from limae_jax.rollouts.rollout import collect_rows, init_rollout
from limae_jax.systems.base import Acted
from limae_jax.types import ActionSpec, EnvSpec

SPEC = EnvSpec("made_up", "made_up", num_agents=2, obs_size=3, state_size=2, actions=ActionSpec(3), episode_limit=9)
PARAMS = {"agent": jnp.zeros((1, 1))}  # with the seed's axis
KEY = jax.random.key(0)


def act(params, carry, seen, epsilon, key):
    """The first available action, or the last one where epsilon is 0; the carry counts steps of the episode."""
    first, last = jnp.argmax(seen.avail, -1), seen.avail.shape[-1] - 1
    carry = jnp.where(seen.is_first, 0, carry) + 1
    return Acted(jnp.where(epsilon > 0, first, last).astype(jnp.int32), carry)


SYSTEM = SimpleNamespace(act=act, initial_carry=lambda rows: jnp.zeros(rows, jnp.int32))


def player_of(games, num_games):
    return HostPlayer(SYSTEM, num_games, lambda seed: games)


def collect(games, num_games, row_length):
    return player_of(games, num_games).collect(0, PARAMS, 0.5, row_length, KEY)


def flags(values):
    return np.asarray(values).astype(int).T.tolist()


def test_a_row_by_hand():
    games = ScriptedGames(SPEC, [[("win", 2), ("limit", 3)], [("loss", 1), ("win", 4)]])
    rollout, rows, sums = collect(games, 2, 6)
    # Slots: an episode's steps, its final observation, the next episode; the last slot is never filled.
    assert flags(rows.is_first) == [[1, 0, 0, 1, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0]]
    assert flags(rows.filled) == [[1, 1, 0, 1, 1, 1, 0], [1, 0, 1, 1, 1, 1, 0]]
    assert flags(rows.terminal) == [[0, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1, 0]]
    assert flags(rows.truncated) == [[0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0]]
    assert flags(rows.reward) == [[1, 2, 0, 1, 2, 3, 0], [1, 0, 1, 2, 3, 4, 0]]
    assert flags(rows.obs[:, :, 1, 1]) == [[0, 1, 2, 0, 1, 2, 3], [0, 1, 0, 1, 2, 3, 4]]
    assert rows.obs[0, 0, :, 2].tolist() == [0, 1] and (rows.action[:-1] == 1).all() and (rows.action[-1] == 0).all()
    assert np.asarray(rows.start).tolist() == [0, 0]
    assert sums == {"env_steps": 10, "episodes": 4, "episode_return": 3 + 6 + 1 + 10}
    assert flags(rollout.timestep.truncated) == [1, 0] and flags(rollout.timestep.terminal) == [0, 1]


def test_rows_go_on_where_the_last_one_stopped():
    player = player_of(ScriptedGames(SPEC, [[("win", 4)]]), 1)
    player.collect(0, PARAMS, 0.5, 3, KEY)
    _, rows, sums = player.collect(0, PARAMS, 0.5, 3, KEY)
    assert flags(rows.is_first) == [[0, 0, 1, 0]] and flags(rows.filled) == [[1, 0, 1, 0]]
    assert np.asarray(rows.start).tolist() == [3] and sums["episodes"] == 1


def test_a_discarded_episode_has_no_filled_step():
    # Game 0 fails at its fourth step, the second of its second episode; game 1 is not concerned.
    games = ScriptedGames(SPEC, [[("win", 2)], [("win", 2)]], faults=[(4, 0)])
    _, rows, sums = collect(games, 2, 8)
    assert flags(rows.filled) == [[1, 1, 0, 0, 0, 1, 1, 0, 0], [1, 1, 0, 1, 1, 0, 1, 1, 0]]
    assert flags(rows.is_first) == [[1, 0, 0, 1, 0, 1, 0, 0, 1], [1, 0, 0, 1, 0, 0, 1, 0, 0]]
    assert flags(rows.terminal) == [[0, 1, 0, 0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0, 0, 1, 0]]
    assert flags(rows.reward) == [[1, 2, 0, 0, 0, 1, 2, 0, 0], [1, 2, 0, 1, 2, 0, 1, 2, 0]]
    assert sums == {"env_steps": 10, "episodes": 5, "episode_return": 15}


def test_an_episode_is_discarded_back_to_the_beginning_of_the_row():
    player = player_of(ScriptedGames(SPEC, [[("win", 9)]], faults=[(4, 0)]), 1)
    _, rows, _ = player.collect(0, PARAMS, 0.5, 3, KEY)
    assert flags(rows.filled) == [[1, 1, 1, 0]]
    _, rows, _ = player.collect(0, PARAMS, 0.5, 3, KEY)
    assert flags(rows.filled) == [[0, 0, 1, 0]] and flags(rows.is_first) == [[0, 0, 1, 0]]


def test_a_game_that_fails_to_begin_takes_no_finished_episode_with_it():
    games = ScriptedGames(SPEC, [[("win", 2)]], faults=[(2, 0)])
    _, rows, sums = collect(games, 1, 4)
    assert flags(rows.filled) == [[1, 1, 0, 1, 0]] and sums["env_steps"] == 3
    assert (games.crashes, games.discarded) == (1, 0)


class CountingGames:
    """The scripted environment of the compiled rollout's tests, behind the interface of games."""

    crashes = discarded = 0

    def __init__(self, env, key, keys):
        self._env, self._keys = env, list(keys)
        self._state, self._timestep = env.reset(key)
        self._step = jax.jit(env.step)

    def _steps(self):
        seen = jax.tree.map(np.asarray, self._timestep)
        fields = {name: values for name, values in vars(seen).items() if values is not None}
        return Steps(**fields, is_discarded=np.zeros(self._env.num_envs, bool), facts=None)

    def reset(self):
        return self._steps()

    def step(self, action):
        self._state, self._timestep = self._step(self._state, self._timestep, action, self._keys.pop(0))
        return self._steps()

    def take_records(self):
        return []

    def close(self):
        pass


def test_rows_are_those_of_the_compiled_rollout():
    env, length = VectorEnv(CountingEnv(), 3), 12
    start = init_rollout(env, SYSTEM, jax.random.key(1))
    end, expected, sums = collect_rows(env, SYSTEM, {}, start, jnp.asarray(0.5), length, jax.random.key(2), KEY)
    games = CountingGames(env, jax.random.key(1), jax.random.split(jax.random.key(2), length))
    rollout, rows, _ = collect(games, 3, length)
    assert rows.terminal.any() and rows.truncated.any()
    jax.tree.map(np.testing.assert_array_equal, rows, expected)
    jax.tree.map(np.testing.assert_array_equal, (rollout.timestep, rollout.carry), (end.timestep, end.carry))
    assert np.sum(rows.filled) == sums["env_steps"]


def test_an_evaluation_counts_each_game_equally_often():
    games = ScriptedGames(SPEC, [[("win", 1)], [("limit", 5), ("loss", 3)]])
    records = player_of(games, 2).evaluate(0, PARAMS, 5, KEY)
    # Game 0 has finished ten episodes by the time that game 1 has its two.
    assert sorted((record.worker, record.length) for record in records) == [(0, 1)] * 3 + [(1, 3), (1, 5)]
    assert all((action == 2).all() for action in games.actions), "an evaluation is greedy"
    assert means_of(records) == {
        "test_return_mean": pytest.approx((3 * 1 + 15 + 6) / 5),
        "test_length_mean": pytest.approx(11 / 5),
        "test_win_rate": pytest.approx(3 / 5),
        "test_ally_deaths_mean": pytest.approx(2 / 5),
        "test_enemy_deaths_mean": pytest.approx(3 / 5),
    }


def test_an_evaluation_finishes_the_episode_under_way_uncounted_and_leaves_one_for_the_rows():
    player = player_of(ScriptedGames(SPEC, [[("win", 4), ("loss", 2)]]), 1)
    player.collect(0, PARAMS, 0.5, 3, KEY)
    records = player.evaluate(0, PARAMS, 1, KEY)
    assert [record.won for record in records] == [False]
    _, rows, sums = player.collect(0, PARAMS, 0.5, 3, KEY)
    assert flags(rows.is_first) == [[0, 1, 0, 0]] and sums["episodes"] == 0


def test_an_evaluation_makes_up_for_discarded_episodes():
    games = ScriptedGames(SPEC, [[("win", 3)]], faults=[(1, 0), (4, 0)])
    records = player_of(games, 1).evaluate(0, PARAMS, 2, KEY)
    assert len(records) == 2 and games.discarded == 2


def test_each_seed_has_games_of_its_own():
    opened = []

    def open_games(seed):
        opened.append((seed, ScriptedGames(SPEC, [[("win", 2)]])))
        return opened[-1][1]

    player = HostPlayer(SYSTEM, 1, open_games)
    player.collect(4, PARAMS, 0.5, 3, KEY)
    player.evaluate(4, PARAMS, 1, KEY)
    _, rows, _ = player.collect(5, PARAMS, 0.5, 3, KEY)
    assert [seed for seed, _ in opened] == [4, 5] and np.asarray(rows.start).tolist() == [0]
    assert [games.is_closed for _, games in opened] == [True, False]
    player.close()
    player.close()
    assert opened[1][1].is_closed
