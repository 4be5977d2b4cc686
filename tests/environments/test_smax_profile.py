"""What allies can be kept from seeing, and the profile of SMAX that shows only what SMAC can tell."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.catalogue.smac_maps import SMAC_MAPS
from limae_jax.config import SmaxConfig
from limae_jax.config.compose import load_config
from limae_jax.config.text import to_yaml
from limae_jax.environments import make_env
from limae_jax.environments.smax import Units
from limae_jax.errors import InputError

pytestmark = pytest.mark.slow

STEPS = 60
PLAIN = SmaxConfig(scenario="3s_vs_5z")
NO_ENEMY_COOLDOWNS = dataclasses.replace(PLAIN, observes_enemy_cooldowns=False)
STRICT = dataclasses.replace(NO_ENEMY_COOLDOWNS, observes_positions_and_cooldowns=False)
PROFILE = load_config(["env=smax_smac_like"]).env

BLOCKS = [slice(13 * i, 13 * (i + 1)) for i in range(7)]  # two team-mates, then five enemies
MATE_COOLDOWNS, ENEMY_COOLDOWNS, OWN = [6, 19], [32, 45, 58, 71, 84], [92, 93, 94]  # own x, y and cooldown


def _is_same(leaf, other):
    np.testing.assert_array_equal(leaf, other)


def _is_close(leaf, other):
    # Two programs round differently in the last digit.
    np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-5)


def _hide(obs, features):
    hidden = obs.copy()
    for feature in features:
        assert hidden[..., feature].any(), "these battles should show what is to be hidden"
        hidden[..., feature] = 0
    return hidden


def test_hidden_features_change_nothing_else(player):
    plain, strict = (player(config, STEPS).play(jax.random.key(1)) for config in (PLAIN, STRICT))
    expected = _hide(plain.timesteps.obs, MATE_COOLDOWNS + ENEMY_COOLDOWNS + OWN)
    _is_close(strict.timesteps.obs, expected)
    # The battle, and with it what the scripted enemy sees, is the same.
    jax.tree.map(_is_close, strict.states, plain.states)
    unlike_obs = [jax.tree.map(np.asarray, play.timesteps.replace(obs=jnp.zeros(()))) for play in (strict, plain)]
    jax.tree.map(_is_close, *unlike_obs)


def test_enemy_cooldowns_alone_can_be_hidden(jit):
    draw = np.random.default_rng(0)
    units = Units(
        unit_type=np.array([2] * 3 + [3] * 5),
        position=draw.uniform(14, 18, (8, 2)).astype(np.float32),
        health=np.full(8, 0.5, np.float32),
        cooldown=np.full(8, 0.5, np.float32),
        last_action=np.array([0, 1, 5, 2, 3, 4, 5, 6]),
    )
    plain, hidden = (np.asarray(jit(make_env(one).observe_units)(units)) for one in (PLAIN, NO_ENEMY_COOLDOWNS))
    _is_same(hidden, _hide(plain, ENEMY_COOLDOWNS))


def test_the_spec_says_what_is_shown_of_a_unit():
    plain, strict = make_env(PLAIN).spec, make_env(STRICT).spec
    obs_size = 7 * 13 + 10
    assert (plain.own_features, strict.own_features) == ((obs_size - 10, obs_size - 9, obs_size - 8), (obs_size - 10,))
    assert plain.obs_size == strict.obs_size == obs_size
    view, _ = jax.eval_shape(strict.team_view, jax.ShapeDtypeStruct((3, obs_size), jnp.float32))
    assert view.shape == (3, 2, 1)


@pytest.mark.parametrize("name", ["observes_enemy_cooldowns", "observes_positions_and_cooldowns"])
def test_cones_hide_nothing(name):
    with pytest.raises(InputError, match=rf"env.{name}=false: needs env.observation_type=unit_list"):
        SmaxConfig(observation_type="conic", **{name: False})
    SmaxConfig(observation_type="conic")


def test_the_profile_sets_what_smac_can_tell(player):
    assert isinstance(PROFILE, SmaxConfig)
    assert (PROFILE.name, PROFILE.max_steps, PROFILE.observation_type) == ("smax", 60, "unit_list")
    _, play = player(dataclasses.replace(PROFILE, scenario="3s_vs_5z"), STEPS)
    record = play(jax.random.key(1))
    obs, game = record.timesteps.obs, record.states.game
    # Of an enemy one sees health, place and type; not its move, target or cooldown.
    for block in BLOCKS[2:]:
        assert obs[..., block][..., :3].any() and not obs[..., block][..., 3:7].any()
    assert all(obs[..., feature].any() for feature in MATE_COOLDOWNS + OWN)
    # Every type sees 9 cells far.
    positions, alive = game.unit_positions, game.unit_alive
    for ally, enemy in itertools.product(range(3), range(5)):
        distance = np.linalg.norm(positions[:, :, ally] - positions[:, :, 3 + enemy], axis=-1)
        is_seen = (distance < 9) & alive[:, :, ally] & alive[:, :, 3 + enemy]
        _is_same(obs[:, :, ally, BLOCKS[2 + enemy]].any(-1), is_seen)


def test_a_marine_of_the_profile_walks_as_far_as_one_of_smac(jit):
    env = make_env(PROFILE)
    state, _ = jit(env.reset)(jax.random.key(0))
    apart = state.game.replace(unit_positions=jnp.array([[8.0, 8], [8, 16], [8, 24], [24, 8], [24, 16], [24, 24]]))
    after, _ = jit(env.step)(state.replace(game=apart), jnp.array([0, 1, 3]), jax.random.key(0))
    walked = np.asarray(after.game.unit_positions - apart.unit_positions)[:3]
    np.testing.assert_allclose(walked, [[0, 1.125], [1.125, 0], [-1.125, 0]], atol=1e-4)
    assert after.game.unit_weapon_cooldowns[0] == pytest.approx(-8 / 22.4, abs=1e-5)
    assert (env._game.unit_type_attacks[0], env._game.unit_type_health[0]) == (6, 45)


@pytest.mark.parametrize("scenario", ["3m", "3s_vs_5z", "6h_vs_8z"])
def test_the_profile_s_limit_is_that_of_smac_s_map(scenario):
    config = load_config(["env=smax_smac_like", f"env.scenario={scenario}"])
    assert config.env.max_steps == SMAC_MAPS[scenario].limit
    # What is stored is the number, and a number given by hand stands.
    assert f"max_steps: {SMAC_MAPS[scenario].limit}" in to_yaml(config)
    assert load_config(["env=smax_smac_like", f"env.scenario={scenario}", "env.max_steps=9"]).env.max_steps == 9


def test_a_map_that_smac_does_not_have_needs_a_limit():
    with pytest.raises(InputError, match=r"env\.max_steps=null: SMAC has no map 5m_vs_3m to take the limit"):
        load_config(["env=smax_smac_like", "env.scenario=5m_vs_3m"])
