"""What every environment must keep, whatever the game."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.catalogue.jaxmarl_games import JAXMARL_GAMES
from limae_jax.catalogue.matrix_games import MATRIX_SCENARIOS
from limae_jax.catalogue.scenarios import MPE_SCENARIOS, SMAX_SCENARIOS
from limae_jax.config import CodesConfig, EnvConfig, JaxmarlConfig, MatrixConfig, MpeConfig, SmaxConfig
from limae_jax.environments import ENVIRONMENTS, make_env
from limae_jax.errors import InputError

pytestmark = [
    pytest.mark.slow,
    # Of jax, at jaxmarl's storm.
    pytest.mark.filterwarnings("ignore:scatter inputs have incompatible types:FutureWarning"),
]

PARSED = ("3s_vs_3z", "3s_vs_4z", "5m_vs_3m", "2zg_vs_3m", "1M1h_vs_1zg", "1m")
CONFIGS = [SmaxConfig(scenario=name) for name in (*SMAX_SCENARIOS, *PARSED)]
CONFIGS += [SmaxConfig(observation_type="conic"), SmaxConfig(observation_type="conic", sight_scale=0.5)]
CONFIGS += [MpeConfig(scenario=name) for name in MPE_SCENARIOS]
CONFIGS += [MpeConfig(num_agents=1), MpeConfig(num_agents=5)]
CONFIGS += [JaxmarlConfig(scenario=name) for name in JAXMARL_GAMES]
PLAYED = (
    SmaxConfig(scenario="3s_vs_5z"),
    SmaxConfig(scenario="smacv2_5_units", sight_scale=0.5, see_enemy_actions=False),
    MpeConfig(scenario="simple_spread"),
    MpeConfig(scenario="simple_speaker_listener"),
    MpeConfig(scenario="simple_reference"),
    JaxmarlConfig(scenario="hanabi", max_steps=30),
    JaxmarlConfig(scenario="overcooked", max_steps=20, options={"layout": "coord_ring"}),
    JaxmarlConfig(scenario="coin_game"),
    CodesConfig(),
)
# Nothing in them is random.
FIXED = (
    *(MatrixConfig(scenario=name) for name in MATRIX_SCENARIOS),
    MatrixConfig(scenario="cliffwalk", length=1),
)
CONFIGS += (*FIXED, CodesConfig())


def _label(config):
    return f"{config.name}-{config.scenario}"


def _types(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)


@pytest.mark.parametrize("config", CONFIGS, ids=_label)
def test_shapes_and_types_are_those_of_the_spec(config):
    env = make_env(config)
    spec = env.spec
    key = jax.random.key(0)
    state, first = jax.eval_shape(env.reset, key)
    num_agents = spec.num_agents
    assert (spec.name, spec.scenario) == (config.name, config.scenario)
    # Games without a time limit end by themselves; null is the game's own.
    assert spec.episode_limit == (getattr(config, "max_steps", None) or spec.episode_limit) > 0
    expected = {
        "obs": ((num_agents, spec.obs_size), jnp.float32),
        "state": ((spec.state_size,), jnp.float32),
        "avail": ((num_agents, spec.num_actions), bool),
        "alive": ((num_agents,), bool),
        "reward": ((), jnp.float32),
        "is_first": ((), bool),
        "terminal": ((), bool),
        "truncated": ((), bool),
    }
    assert {name: (getattr(first, name).shape, getattr(first, name).dtype) for name in expected} == expected
    # A step returns just what a reset does, so both fit the same loop and compile once.
    action = jax.ShapeDtypeStruct((num_agents,), jnp.int32)
    assert _types(jax.eval_shape(env.step, state, action, key)) == _types((state, first))
    outcome = jax.eval_shape(env.outcome, state)
    assert {name: (value.shape, value.dtype) for name, value in outcome.items()} == {
        name: ((), jnp.float32) for name in spec.outcome_names
    }


@pytest.mark.parametrize("config", PLAYED + FIXED, ids=_label)
def test_random_play_keeps_the_contract(config, player):
    play = player(config, 101).play(jax.random.key(1))
    steps = play.timesteps
    is_last = steps.is_last
    assert is_last.sum() >= 8, "each copy should end an episode, or this tests little"
    assert all(np.isfinite(values).all() for values in (steps.obs, steps.state, steps.reward))
    assert steps.avail.any(-1).all()
    assert not (steps.terminal & steps.truncated).any()
    # An episode starts right after another ended, and only there.
    np.testing.assert_array_equal(steps.is_first[1:], is_last[:-1])
    assert steps.is_first[0].all()
    assert (steps.reward[steps.is_first] == 0).all()
    assert not (steps.is_first & is_last).any()
    # Its first observation is a real one.
    assert np.abs(steps.obs[steps.is_first]).max(-1).min() > 0
    assert np.abs(steps.state[steps.is_first]).max(-1).min() > 0


@pytest.mark.parametrize("config", PLAYED[::2], ids=_label)
def test_the_key_decides_everything(config, player):
    play = player(config, 101).play
    once, again, other = play(jax.random.key(2)), play(jax.random.key(2)), play(jax.random.key(3))
    jax.tree.map(np.testing.assert_array_equal, once._replace(keys=None), again._replace(keys=None))
    assert not np.array_equal(once.timesteps.obs[0], other.timesteps.obs[0])
    # Nor do two copies play the same game.
    assert not np.array_equal(once.timesteps.obs[0, 0], once.timesteps.obs[0, 1])
    assert not np.array_equal(once.timesteps.obs[50, 0], once.timesteps.obs[50, 1])


def test_unknown_environments_are_named():
    # These are played in processes of their own.
    assert set(ENVIRONMENTS) == {config.name for config in CONFIGS} | {"smac", "pettingzoo", "gymnasium"}
    with pytest.raises(
        InputError,
        match=r"env=smaxx: unknown; choose one of codes, gymnasium, jaxmarl, matrix, mpe, pettingzoo, smac, smax\. "
        "Did you mean 'smax'",
    ):
        make_env(EnvConfig(name="smaxx"))
    with pytest.raises(InputError, match=r"env\.name=mpe: .*env=mpe"):
        make_env(SmaxConfig(name="mpe"))
