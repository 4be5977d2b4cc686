"""Random battles: they are jaxmarl's, step for step, but for what the adapter promises to change."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.catalogue.scenarios import STOP_ACTION, parse_scenario
from limae_jax.config import SmaxConfig
from limae_jax.environments import make_env
from limae_jax.environments.jaxmarl import import_jaxmarl

pytestmark = pytest.mark.slow

STEPS = 101
PLAIN = SmaxConfig(scenario="3s_vs_5z")
NARROW = SmaxConfig(scenario="smacv2_5_units", sight_scale=0.5, see_enemy_actions=False)
CONIC = SmaxConfig(scenario="5m_vs_3m", sight_scale=0.7, observation_type="conic", attack_mode="random")
ATTACK = STOP_ACTION + 1
# Settings that jaxmarl does not have, or that mean something else there.
OURS = {"name", "scenario", "num_envs", "max_steps", "sight_scale"}
OURS |= {"observes_enemy_cooldowns", "observes_positions_and_cooldowns"}


def _their_battle(config: SmaxConfig) -> Any:
    """HeuristicEnemySMAX, built without the adapter."""
    smax = import_jaxmarl("jaxmarl.environments.smax")
    ours = parse_scenario(config.scenario)
    scenario = smax.Scenario(
        jnp.array(ours.unit_types, jnp.uint8),
        ours.num_allies,
        ours.num_enemies,
        ours.random_positions,
        ours.random_unit_types,
    )
    names = ("attack_mode", "see_enemy_actions", "observation_type")
    return smax.HeuristicEnemySMAX(scenario=scenario, **{name: getattr(config, name) for name in names})


@pytest.fixture(scope="module")
def replay(jit) -> Callable[..., Any]:
    """`replay(battle, play)`: where jaxmarl gets with each recorded state, action and key, leaves [T, B, ...]."""

    def run(battle, play):
        state_type = import_jaxmarl("jaxmarl.environments.smax.heuristic_enemy_smax_env").State

        def step(state, action, key):
            before = state_type(state=state.game, enemy_policy_state=state.enemy_policy)
            actions = {agent: action[i] for i, agent in enumerate(battle.agents)}
            obs, after, rewards, _, _ = battle.step_env(key, before, actions)
            return after, jnp.stack([obs[agent] for agent in battle.agents]), rewards["ally_0"]

        def restart(key):
            obs, after = battle.reset(key)
            return after, jnp.stack([obs[agent] for agent in battle.agents]), jnp.float32(0)

        def both(_, recorded):
            state, action, key, is_last = recorded
            keys = jax.random.split(key, len(is_last))
            stepped = jax.vmap(step)(state, action, keys)
            fresh = jax.vmap(restart)(keys)
            choose = functools.partial(_where, is_last)
            return None, jax.tree.map(choose, fresh, stepped)

        recorded = (play.states, play.actions, play.keys, play.timesteps.is_last)
        return jax.tree.map(np.asarray, jit(lambda xs: jax.lax.scan(both, None, xs))(recorded)[1])

    return run


def _where(choice, if_true, if_false):
    return jnp.where(choice.reshape(-1, *(1,) * (if_true.ndim - 1)), if_true, if_false)


def _blank_far_units(obs: np.ndarray, sight_scale: float) -> np.ndarray:
    """Element by element, what `sight_scale` must do to observations [..., O]."""
    blanked = obs.copy()
    for start in range(0, obs.shape[-1] - 10, 13):
        is_far = np.hypot(obs[..., start + 1], obs[..., start + 2]) >= sight_scale
        blanked[is_far, start : start + 13] = 0
    return blanked


def _assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal, up to the rounding of two programs that compute the same: XLA may fuse them differently."""
    assert ours.dtype == theirs.dtype
    if np.issubdtype(ours.dtype, np.floating):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("config", [PLAIN, NARROW, CONIC], ids=lambda config: config.scenario)
def test_it_plays_jaxmarls_game(config, player, replay):
    play = player(config, STEPS).play(jax.random.key(1))
    theirs, their_obs, their_reward = replay(_their_battle(config), play)
    following = jax.tree.map(lambda leaf: leaf[1:], play._replace(keys=None))
    theirs, their_obs, their_reward = jax.tree.map(lambda leaf: leaf[:-1], (theirs, their_obs, their_reward))
    jax.tree.map(_assert_same, following.states.game, theirs.state)
    jax.tree.map(_assert_same, following.states.enemy_policy, theirs.enemy_policy_state)
    _assert_same(following.timesteps.reward, their_reward)
    # Final observations and first ones included: none is blanked, none is the next episode's.
    if config.sight_scale == 1:
        _assert_same(following.timesteps.obs, their_obs)
    else:
        expected = _blank_far_units(their_obs, config.sight_scale)
        assert not np.array_equal(expected, their_obs)
        _assert_same(following.timesteps.obs, expected)


def test_sight_follows_the_distance_between_units(player):
    env, play = player(NARROW, STEPS)
    record = play(jax.random.key(1))
    game, obs = record.states.game, record.timesteps.obs
    ranges = np.asarray(env._game.unit_type_sight_ranges)[game.unit_types]
    distances = np.linalg.norm(game.unit_positions[:, :, :, None] - game.unit_positions[:, :, None], axis=-1)
    both_live = game.unit_alive[:, :, :, None] & game.unit_alive[:, :, None]
    is_seen = both_live & (distances < 0.5 * ranges[..., None])
    would_be_seen = both_live & (distances < ranges[..., None])
    for ally in range(env.spec.num_agents):
        others = [unit for unit in range(10) if unit != ally]
        blocks = obs[:, :, ally, :-10].reshape(*obs.shape[:2], 9, 13)
        np.testing.assert_array_equal(blocks.any(-1), is_seen[:, :, ally, others])
    assert (is_seen != would_be_seen).sum() > 1000


@pytest.mark.parametrize("config", [PLAIN, NARROW], ids=lambda config: config.scenario)
def test_state_is_scaled(config, player):
    env, play = player(config, STEPS)
    record = play(jax.random.key(1))
    game, state = record.states.game, record.timesteps.state
    types, alive = game.unit_types, game.unit_alive
    health = game.unit_health / np.asarray(env._game.unit_type_health)[types]
    positions = game.unit_positions / 32
    cooldown = game.unit_weapon_cooldowns / np.asarray(env._game.unit_type_weapon_cooldowns)[types]
    features = [health[..., None], positions.clip(0, 1), cooldown[..., None].clip(0, 1), np.eye(6)[types]]
    expected = np.concatenate(features, axis=-1) * alive[..., None]
    expected = np.concatenate([expected.reshape(*state.shape[:2], -1), game.unit_teams, types / 5], axis=-1)
    np.testing.assert_allclose(state, expected, atol=1e-6)
    assert np.abs(state).max() <= 1
    assert cooldown.min() < -10 and not alive.all(), "these battles should need the scaling"


@pytest.mark.parametrize("config", [PLAIN, NARROW, CONIC], ids=lambda config: config.scenario)
def test_legal_actions(config, player):
    env, play = player(config, STEPS)
    record = play(jax.random.key(1))
    game, steps, num_allies = record.states.game, record.timesteps, env.spec.num_agents
    allies_alive, enemies_alive = np.split(game.unit_alive, [num_allies], axis=-1)
    np.testing.assert_array_equal(steps.alive, allies_alive)
    # Dead agents may only stop; the others may move, and shoot what lives within their range.
    assert steps.avail[..., STOP_ACTION].all()
    np.testing.assert_array_equal(steps.avail[..., :STOP_ACTION], np.repeat(allies_alive[..., None], 4, axis=-1))
    allies, enemies = np.split(game.unit_positions, [num_allies], axis=-2)
    distances = np.linalg.norm(allies[..., :, None, :] - enemies[..., None, :, :], axis=-1)
    ranges = np.asarray(env._game.unit_type_attack_ranges)[game.unit_types[..., :num_allies]]
    may_shoot = (distances < ranges[..., None]) & allies_alive[..., None] & enemies_alive[..., None, :]
    np.testing.assert_array_equal(steps.avail[..., ATTACK:], may_shoot)
    assert (~allies_alive).any() and may_shoot.any()


@pytest.mark.parametrize("config", [PLAIN, NARROW, CONIC], ids=lambda config: config.scenario)
def test_ends_and_outcomes(config, player):
    env, play = player(config, STEPS)
    record = play(jax.random.key(1))
    steps = record.timesteps
    allies, enemies = np.split(record.states.game.unit_alive, [env.spec.num_agents], axis=-1)
    np.testing.assert_array_equal(steps.terminal, ~allies.any(-1) | ~enemies.any(-1))
    np.testing.assert_array_equal(steps.truncated, ~steps.terminal & (record.states.game.step == 100))
    assert record.states.game.step.max() <= 100
    np.testing.assert_array_equal(record.outcomes["win"], allies.any(-1) & ~enemies.any(-1))
    np.testing.assert_array_equal(record.outcomes["ally_deaths"], (~allies).sum(-1))
    np.testing.assert_array_equal(record.outcomes["enemy_deaths"], (~enemies).sum(-1))


def test_every_option_reaches_jaxmarl():
    lists = {
        item.name: (1.5, 2.0, 2.5, 3.0, 3.5, float(i))
        for i, item in enumerate(dataclasses.fields(SmaxConfig), start=1)
        if item.name.startswith("unit_type_")
    }
    options = dict(
        enemy_shoots=False,
        attack_mode="random",
        walls_cause_death=False,
        see_enemy_actions=False,
        won_battle_bonus=7.0,
        use_self_play_reward=True,
        map_width=40,
        map_height=24,
        world_steps_per_env_step=4,
        time_per_step=0.125,
        observation_type="conic",
    )
    assert {item.name for item in dataclasses.fields(SmaxConfig)} == OURS | set(options) | set(lists)
    battle = make_env(SmaxConfig(**options, **lists))._battle
    default = make_env(SmaxConfig())._battle
    for name, value in options.items():
        assert getattr(battle, name) == value, name
        assert getattr(default, name) == getattr(SmaxConfig(), name) != value, name
    for name, value in lists.items():
        np.testing.assert_array_equal(getattr(battle, name), np.float32(value))


def test_defaults_are_jaxmarls():
    ours, theirs = make_env(SmaxConfig())._battle, import_jaxmarl("jaxmarl.environments.smax").HeuristicEnemySMAX()
    for item in dataclasses.fields(SmaxConfig):
        if item.name not in OURS:
            np.testing.assert_array_equal(getattr(ours, item.name), getattr(theirs, item.name), item.name)
    assert SmaxConfig().max_steps == theirs.max_steps
