"""How battles end: set up by hand, 3m, the teams face each other in range, weapons ready."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.catalogue.scenarios import STOP_ACTION
from limae_jax.config import SmaxConfig
from limae_jax.environments import make_env
from limae_jax.environments.smax import Smax

WEST = 3
ATTACK = STOP_ACTION + 1


class Stage(NamedTuple):
    env: Smax
    step: Callable[..., Any]
    set_up: Callable[..., Any]


@pytest.fixture(scope="module")
def stage(jit) -> Stage:
    env = make_env(SmaxConfig(scenario="3m"))

    @jit
    def set_up(health, ally_x, game_step):
        state, _ = env.reset(jax.random.key(0))
        rows = jnp.array([14.0, 16.0, 18.0])
        columns = jnp.repeat(jnp.stack([ally_x, 19.0]), 3)
        game = state.game.replace(
            unit_health=health,
            unit_alive=health > 0,
            unit_positions=jnp.column_stack([columns, jnp.tile(rows, 2)]),
            step=game_step,
        )
        seen = env._game.get_obs_unit_list(game)
        return state.replace(game=game, enemy_obs=jnp.stack([seen[f"enemy_{i}"] for i in range(3)]))

    def set_up_from(health, ally_x=16.0, game_step=0):
        return set_up(jnp.asarray(health, jnp.float32), jnp.float32(ally_x), jnp.int32(game_step))

    return Stage(env, jit(env.step), set_up_from)


def _play(stage, state, action):
    state, timestep = stage.step(state, jnp.full(3, action, jnp.int32), jax.random.key(1))
    outcome = {name: float(value) for name, value in stage.env.outcome(state).items()}
    return state, timestep, outcome


def test_a_win_is_terminal_and_keeps_its_final_observation(stage):
    state, timestep, outcome = _play(stage, stage.set_up([45, 45, 0, 5, 0, 0]), ATTACK)
    assert bool(timestep.terminal) and not bool(timestep.truncated) and bool(timestep.is_last)
    assert not bool(timestep.is_first)
    assert outcome == {"win": 1.0, "ally_deaths": 1.0, "enemy_deaths": 3.0}
    assert float(timestep.reward) == pytest.approx(1 + 5 / 45 / 3)
    # Survivors live on in the record, at the place where they won, not at the next episode's start.
    assert timestep.alive.tolist() == [True, True, False]
    np.testing.assert_allclose(timestep.obs[0, -9:-7], [0.5, 14 / 32], atol=1e-3)
    np.testing.assert_allclose(timestep.obs[1, -9:-7], [0.5, 16 / 32], atol=1e-3)
    assert not timestep.obs[2].any()
    np.testing.assert_allclose(timestep.state.reshape(-1)[1:3], [0.5, 14 / 32], atol=1e-3)
    assert not timestep.state[20:60].any(), "the dead have no features"
    assert not timestep.avail[:, ATTACK:].any()
    assert int(state.game.step) == 1


def test_a_loss_is_terminal(stage):
    _, timestep, outcome = _play(stage, stage.set_up([5, 0, 0, 45, 45, 45]), STOP_ACTION)
    assert bool(timestep.terminal) and not bool(timestep.truncated)
    assert outcome == {"win": 0.0, "ally_deaths": 3.0, "enemy_deaths": 0.0}
    assert float(timestep.reward) == 0
    assert not timestep.alive.any() and not timestep.obs.any()
    np.testing.assert_array_equal(timestep.avail, np.tile(np.arange(8) == STOP_ACTION, (3, 1)))


def test_a_mutual_kill_is_terminal_but_no_win(stage):
    _, timestep, outcome = _play(stage, stage.set_up([5, 0, 0, 5, 0, 0]), ATTACK)
    assert bool(timestep.terminal) and not bool(timestep.truncated)
    assert outcome == {"win": 0.0, "ally_deaths": 3.0, "enemy_deaths": 3.0}
    assert float(timestep.reward) < 1


def test_a_dead_ally_ends_nothing(stage):
    _, timestep, outcome = _play(stage, stage.set_up([45, 45, 0, 45, 45, 45]), STOP_ACTION)
    assert not bool(timestep.is_last)
    assert outcome == {"win": 0.0, "ally_deaths": 1.0, "enemy_deaths": 0.0}
    np.testing.assert_array_equal(timestep.avail[2], np.arange(8) == STOP_ACTION)


def test_the_limit_truncates_at_exactly_max_steps(stage):
    state, timestep, _ = _play(stage, stage.set_up([45] * 6, game_step=98), STOP_ACTION)
    assert not bool(timestep.is_last)
    state, timestep, outcome = _play(stage, state, STOP_ACTION)
    assert bool(timestep.truncated) and not bool(timestep.terminal)
    assert int(state.game.step) == stage.env.spec.episode_limit == 100
    assert outcome["win"] == 0 and timestep.alive.any()


def test_a_win_at_the_limit_is_a_win(stage):
    _, timestep, outcome = _play(stage, stage.set_up([45, 45, 45, 5, 0, 0], game_step=99), ATTACK)
    assert bool(timestep.terminal) and not bool(timestep.truncated)
    assert outcome["win"] == 1


def test_walls_kill_only_if_asked(stage, jit):
    at_the_wall = stage.set_up([45] * 6, ally_x=0.1)
    _, timestep, outcome = _play(stage, at_the_wall, WEST)
    assert bool(timestep.terminal) and outcome["ally_deaths"] == 3
    soft = make_env(SmaxConfig(scenario="3m", walls_cause_death=False))
    _, timestep, outcome = _play(stage._replace(env=soft, step=jit(soft.step)), at_the_wall, WEST)
    assert not bool(timestep.terminal) and outcome["ally_deaths"] == 0
    assert np.abs(timestep.state).max() <= 1
