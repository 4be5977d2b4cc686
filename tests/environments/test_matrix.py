"""Games of a few stages: every payoff by hand, and rows that hold them at whatever length."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import counters, on_rows, tiny_config
from reference import row_utilities

from limae_jax.catalogue.matrix_games import (
    MATRIX_SCENARIOS,
    build_game,
    cliffwalk,
    matrix_sizes,
    right_action,
    two_step_game,
)
from limae_jax.config import MatrixConfig
from limae_jax.config.fitting import check_fit
from limae_jax.environments import make_env
from limae_jax.environments.vector import VectorEnv
from limae_jax.errors import InputError
from limae_jax.rollouts.rollout import collect_rows, init_rollout
from limae_jax.systems.base import Acted
from limae_jax.systems.build import build_system

KEY = jax.random.key(0)
PAYOFFS = {
    MatrixConfig(): [[11, -30, 0], [-30, 7, 6], [0, 0, 5]],
    MatrixConfig(scenario="penalty"): [[10, 0, -100], [0, 2, 0], [-100, 0, 10]],
    MatrixConfig(scenario="penalty", penalty=-3.5): [[10, 0, -3.5], [0, 2, 0], [-3.5, 0, 10]],
    MatrixConfig(scenario="monotone"): [[1, 2, 4], [2, 4, 8], [4, 8, 16]],
    MatrixConfig(scenario="qplex"): [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]],
    MatrixConfig(scenario="easy"): [[12, -0.1, -0.1], [-0.1, 0, 0], [-0.1, 0, 0]],
}


def _play(env, *joint_actions):
    """The timesteps of a play, its start included, and its outcome."""
    state, timestep = env.reset(KEY)
    timesteps = [timestep]
    for action in joint_actions:
        assert not timesteps[-1].is_last
        state, timestep = env.step(state, jnp.asarray(action, jnp.int32), KEY)
        timesteps.append(timestep)
    return timesteps, float(env.outcome(state)["optimum"])


def _one_hot(index, size):
    return np.eye(size, dtype=np.float32)[index]


@pytest.mark.parametrize("config", PAYOFFS, ids=lambda config: f"{config.scenario}{config.penalty:g}")
def test_every_payoff_of_a_matrix(config):
    env, payoff = make_env(config), np.array(PAYOFFS[config], np.float32)
    assert env.spec.outcome_names == ("optimum",)
    for action in itertools.product(range(3), repeat=2):
        (first, end), is_optimum = _play(env, action)
        assert float(end.reward) == payoff[action] and float(first.reward) == 0
        assert is_optimum == (payoff[action] == payoff.max())
        assert first.is_first and not first.is_last
        assert end.terminal and not end.truncated and not end.is_first
        # There is one stage to see, and none in the end.
        np.testing.assert_array_equal(first.obs, np.ones((2, 1)))
        np.testing.assert_array_equal(first.state, [1])
        assert not end.obs.any() and not end.state.any()


def test_the_two_step_game():
    env = make_env(MatrixConfig(scenario="two_step"))
    branch_b = [[0, 1], [1, 8]]
    for first, second in itertools.product(itertools.product(range(2), repeat=2), repeat=2):
        (start, middle, end), is_optimum = _play(env, first, second)
        np.testing.assert_array_equal(start.obs, [_one_hot(0, 3)] * 2)
        # Agent 0 alone picks the branch.
        np.testing.assert_array_equal(middle.obs, [_one_hot(1 + first[0], 3)] * 2)
        np.testing.assert_array_equal(middle.state, _one_hot(1 + first[0], 3))
        assert not end.obs.any() and not end.state.any()
        assert [float(timestep.reward) for timestep in (start, middle)] == [0, 0]
        assert float(end.reward) == (branch_b[second[0]][second[1]] if first[0] else 7)
        assert [bool(timestep.is_first) for timestep in (start, middle, end)] == [True, False, False]
        assert [bool(timestep.terminal) for timestep in (start, middle, end)] == [False, False, True]
        assert not any(bool(timestep.truncated) for timestep in (start, middle, end))
        assert is_optimum == (first[0] == 1 and second == (1, 1))


def test_the_cliffwalk():
    env, right = make_env(MatrixConfig(scenario="cliffwalk", length=4)), (0, 1, 1, 0)
    assert tuple(right_action(stage) for stage in range(8)) == (*right, 1, 0, 0, 1)
    timesteps, is_optimum = _play(env, *([action] for action in right))
    np.testing.assert_array_equal([float(timestep.reward) for timestep in timesteps], [0, 0, 0, 0, 1])
    np.testing.assert_array_equal([bool(timestep.terminal) for timestep in timesteps], [0, 0, 0, 0, 1])
    for stage, timestep in enumerate(timesteps[:-1]):
        np.testing.assert_array_equal(timestep.obs, [_one_hot(stage, 4)])
        np.testing.assert_array_equal(timestep.state, _one_hot(stage, 4))
    assert is_optimum == 1
    for steps in range(4):
        timesteps, is_optimum = _play(env, *([action] for action in right[:steps]), [1 - right[steps]])
        assert [bool(timestep.terminal) for timestep in timesteps] == [False] * (steps + 1) + [True]
        assert not any(float(timestep.reward) for timestep in timesteps)
        assert not timesteps[-1].obs.any() and is_optimum == 0


def test_tables_are_solved():
    best = {name: build_game(MatrixConfig(scenario=name)).best_return for name in MATRIX_SCENARIOS}
    assert best == dict(climbing=11, penalty=10, monotone=16, qplex=8, easy=12, two_step=8, cliffwalk=1)
    # Either action of agent 1 at the start is a best one.
    assert two_step_game().values == ((7, 7, 8, 8), (7,) * 4, (0, 1, 1, 8))
    assert two_step_game().is_best[0] == (False, False, True, True)
    assert cliffwalk(3).values == ((1, 0), (0, 1), (0, 1))
    # Both of its best payoffs count.
    assert sum(build_game(MatrixConfig(scenario="penalty")).is_best[0]) == 2


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({}, (2, 1, 1, 3, 1)),
        ({"scenario": "two_step"}, (2, 3, 3, 2, 2)),
        ({"scenario": "cliffwalk"}, (1, 10, 10, 2, 10)),
        ({"scenario": "cliffwalk", "length": 1}, (1, 1, 1, 2, 1)),
    ],
)
def test_sizes_are_known_without_the_game(settings, sizes):
    config = MatrixConfig(**settings)
    spec = make_env(config).spec
    assert matrix_sizes(config) == sizes
    assert (spec.num_agents, spec.obs_size, spec.state_size, spec.num_actions, spec.episode_limit) == sizes


def test_the_monotone_game_is_one_unit_of_a_mixer():
    """As the table's comment says."""
    values = np.arange(3) * np.log(2) - 3 * np.log(2)
    inner = values[:, None] + values
    assert (inner < 0).all()
    np.testing.assert_allclose(64 * (np.exp(inner) - 1) + 64, PAYOFFS[MatrixConfig(scenario="monotone")])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scenario": "climbin"}, "env.scenario=climbin: unknown; choose one of cliffwalk, climbing, easy, "),
        ({"scenario": "3m"}, "env.scenario=3m: unknown; "),
        ({"scenario": "penalty", "penalty": 1}, "env.penalty=1.0: must be between -1000000 and 0"),
        ({"scenario": "penalty", "penalty": -1e7}, "env.penalty=-10000000.0: must be between -1000000 and 0"),
        ({"scenario": "penalty", "penalty": "k"}, "env.penalty=k: must be a finite number"),
        ({"penalty": -5}, "env.penalty=-5.0: climbing does not read it; choose env.scenario=penalty"),
        ({"length": 5}, "env.length=5: climbing does not read it; choose env.scenario=cliffwalk"),
        ({"scenario": "cliffwalk", "length": 0}, "env.length=0: must be greater than 0"),
        ({"scenario": "cliffwalk", "length": 1001}, "env.length=1001: must not exceed 1000"),
        ({"scenario": "cliffwalk", "length": 2.5}, "env.length=2.5: must be a whole number"),
        ({"num_envs": 0}, "env.num_envs=0: must be greater than 0"),
    ],
)
def test_bad_settings_are_refused(settings, said):
    with pytest.raises(InputError) as caught:
        MatrixConfig(**settings)
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_a_team_plays_games_of_its_own_size():
    check_fit(MatrixConfig(), MatrixConfig(scenario="penalty"))
    with pytest.raises(InputError, match=r"env\.scenario=cliffwalk: has num_agents 1, not 2, obs_size 10, not 1, "):
        check_fit(MatrixConfig(), MatrixConfig(scenario="cliffwalk"))


def _scripted_rows(config, actions, row_length, num_rows=1, **system):
    """Rows of copies that play by a script.

    Args:
        config: of the game.
        actions: [B, S, A] what each copy does at each stage.
        row_length: of the rows.
        num_rows: of each copy, one after the other.
        system: settings of the VDN whose carry the rows start from.

    Returns:
        The system, and the rows.
    """
    env, script = make_env(config), jnp.asarray(actions, jnp.int32)
    built = build_system(tiny_config("vdn", reward_scale=1.0, td_lambda=0.0, **system), env.spec)
    params = built.init(KEY).params

    def act(params, carry, timestep, epsilon, key):
        carry = built.act(params, carry, timestep, epsilon, key).carry
        action = jax.vmap(lambda todo, state: todo[jnp.argmax(state)])(script, timestep.state)
        return Acted(action, carry.replace(last_action=action))

    copies, played = VectorEnv(env, len(script)), []
    state = init_rollout(copies, built, KEY)
    collect = jax.jit(
        lambda state: collect_rows(copies, built._replace(act=act), params, state, 0.0, row_length, KEY, KEY)
    )
    for _ in range(num_rows):
        state, rows, _ = collect(state)
        played.append(rows)
    return built, played


JOINT_ACTIONS = np.array(list(itertools.product(range(3), repeat=2)))


@pytest.mark.slow
@pytest.mark.parametrize("row_length", [1, 2, 3, 6])
def test_episodes_of_one_step_in_rows_of_any_length(row_length):
    """A step and a final observation take turns, wherever a row ends."""
    num_rows = 4
    _, played = _scripted_rows(MatrixConfig(), JOINT_ACTIONS[:, None], row_length, num_rows)
    stream = jax.tree.map(
        lambda *rows: np.concatenate([row[:-1] for row in rows]), *(r.replace(start=()) for r in played)
    )
    is_step = np.tile((np.arange(num_rows * row_length) % 2 == 0)[:, None], 9)
    for name in ("filled", "is_first", "terminal"):
        np.testing.assert_array_equal(getattr(stream, name), is_step, err_msg=name)
    assert not stream.truncated.any()
    payoff = np.array(PAYOFFS[MatrixConfig()])[tuple(JOINT_ACTIONS.T)]
    np.testing.assert_array_equal(stream.reward, np.where(is_step, payoff, 0))
    np.testing.assert_array_equal(stream.state[..., 0], is_step)
    for rows in played:
        assert not rows.filled[-1].any() and not rows.terminal[-1].any()


def _learn(system, rows, num_updates):
    """Parameters after so many updates on one batch, with a target copy after each 25."""

    def update(state, count):
        state, _ = on_rows(system.phases[-1].learn.update)(state, rows, counters(0), KEY)
        before, after = (counters(0).replace(env_steps=count + more) for more in (0, 1))
        return system.after_iteration(state, before, after), None

    learn = jax.jit(lambda: jax.lax.scan(update, system.init(KEY), jnp.arange(num_updates, dtype=jnp.int32))[0])
    return jax.tree.map(np.asarray, learn().params)


def _sums_of_values(q):
    """[A, U] -> [U, U] what the team's joint actions are worth to VDN."""
    return q[0][:, None] + q[1]


def _least_squares(payoff):
    """The sums of two agents' values that come closest to a payoff [U, U], every joint action counting the same."""
    payoff = np.array(payoff, float)
    size = len(payoff)
    design = np.array([[*_one_hot(row, size), *_one_hot(column, size)] for row, column in np.ndindex(size, size)])
    solution = np.linalg.lstsq(design, payoff.reshape(-1), rcond=None)[0]
    return (design @ solution).reshape(size, size)


LEARNER = dict(gamma=0.99, hidden_size=16, learning_rate=5e-3, target_update_env_steps=25)


def test_least_squares_values_are_those_of_the_literature():
    np.testing.assert_allclose(_least_squares(PAYOFFS[MatrixConfig()])[2, 2], 8.778, atol=1e-3)
    np.testing.assert_allclose(_least_squares(PAYOFFS[MatrixConfig(scenario="penalty")])[1, 1], 21.11, atol=1e-2)
    np.testing.assert_allclose(_least_squares([[0, 1], [1, 8]]), [[-1.5, 2.5], [2.5, 6.5]])


@pytest.mark.slow
def test_vdn_on_climbing_learns_its_least_squares_values():
    system, (rows,) = _scripted_rows(MatrixConfig(), JOINT_ACTIONS[:, None], 5, **LEARNER)
    params = _learn(system, rows, 1500)
    learned = _sums_of_values(row_utilities(params["agent"], rows)[2, 0])
    np.testing.assert_allclose(learned, _least_squares(PAYOFFS[MatrixConfig()]), atol=0.05)


@pytest.mark.slow
def test_vdn_on_the_two_step_game_learns_its_exact_values():
    """Every play is in the batch, so the values are those of uniformly random data."""
    both = np.array(list(itertools.product(range(2), repeat=4))).reshape(16, 2, 2)
    first, second = both[:, 0], both[:, 1]
    script = np.stack([first, second, second], axis=1)
    system, (rows,) = _scripted_rows(MatrixConfig(scenario="two_step"), script, 6, **LEARNER)
    q = row_utilities(_learn(system, rows, 1500)["agent"], rows)
    for copy in range(16):
        expected = [[-1.5, 2.5], [2.5, 6.5]] if first[copy, 0] else [[7, 7], [7, 7]]
        np.testing.assert_allclose(_sums_of_values(q[1, copy]), expected, atol=0.05)
        # Branch A looks better: 0.99 * 7 against 0.99 * 6.5.
        np.testing.assert_allclose(_sums_of_values(q[0, copy]), [[6.93] * 2, [6.435] * 2], atol=0.05)
