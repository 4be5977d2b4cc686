import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.catalogue.scenarios import MPE_SCENARIOS
from limae_jax.config import MpeConfig
from limae_jax.environments import make_env
from limae_jax.environments.jaxmarl import import_jaxmarl

STEPS = 101


@pytest.mark.parametrize("scenario", MPE_SCENARIOS)
def test_every_episode_is_truncated_at_the_limit(scenario, player):
    record = player(MpeConfig(scenario=scenario), STEPS).play(jax.random.key(1))
    # 25 steps, then one that is a reset: slots 25, 51, 77 hold final observations.
    expected = np.zeros((STEPS, 8), bool)
    expected[25::26] = True
    np.testing.assert_array_equal(record.timesteps.truncated, expected)
    assert not record.timesteps.terminal.any()
    assert record.timesteps.alive.all()
    np.testing.assert_array_equal(record.states.steps[:, 0], np.arange(STEPS) % 26)
    assert record.outcomes == {}


def test_speaker_and_listener_are_padded(player):
    env, play = player(MpeConfig(scenario="simple_speaker_listener"), STEPS)
    record = play(jax.random.key(1))
    steps = record.timesteps
    assert (env.spec.obs_size, env.spec.num_actions, env.spec.state_size) == (11, 5, 3 + 11)
    # The speaker sees the goal's colour and has three words; the listener moves.
    assert not steps.obs[:, :, 0, 3:].any() and steps.obs[:, :, 0, :3].all()
    assert (steps.avail == np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)).all()
    np.testing.assert_array_equal(steps.state, np.concatenate([steps.obs[:, :, 0, :3], steps.obs[:, :, 1]], axis=-1))
    assert record.actions[:, :, 0].max() == 2 and record.actions[:, :, 1].max() == 4


@pytest.mark.parametrize("scenario", MPE_SCENARIOS)
def test_it_plays_jaxmarls_game_and_adds_the_rewards_up(scenario, player, jit):
    record = player(MpeConfig(scenario=scenario), STEPS).play(jax.random.key(1))
    game = import_jaxmarl().make(MPE_SCENARIOS[scenario].jaxmarl_id)

    @jit
    def step(state, action, key):
        actions = {agent: action[i] for i, agent in enumerate(game.agents)}
        obs, after, rewards, _, _ = game.step_env(key, state, actions)
        return after.p_pos, jnp.concatenate([obs[agent] for agent in game.agents]), sum(rewards.values())

    for slot in (0, 11, 24):
        state = jax.tree.map(lambda leaf, slot=slot: leaf[slot, 5], record.states.game)
        positions, obs, reward = step(state, record.actions[slot, 5], jax.random.split(record.keys[slot], 8)[5])
        np.testing.assert_allclose(record.states.game.p_pos[slot + 1, 5], positions, atol=1e-6)
        np.testing.assert_allclose(record.timesteps.state[slot + 1, 5], obs, atol=1e-6)
        np.testing.assert_allclose(record.timesteps.reward[slot + 1, 5], reward, rtol=1e-5)
        assert float(reward) != 0


def test_team_size_brings_as_many_landmarks():
    spec = make_env(MpeConfig(num_agents=5)).spec
    # Own velocity and position, 5 landmarks, 4 others and their 2-number messages.
    assert (spec.num_agents, spec.obs_size, spec.num_actions) == (5, 4 + 10 + 4 * 4, 5)
    assert make_env(MpeConfig()).spec.num_agents == 3


def test_the_limit_is_the_configs():
    assert make_env(MpeConfig(max_steps=40)).spec.episode_limit == 40
