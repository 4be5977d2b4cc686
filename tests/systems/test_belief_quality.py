"""R2 of guesses against a slow computation, and what it must leave out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import TINY_ENV

from limae_jax.config import SmaxConfig
from limae_jax.environments.smax import Smax
from limae_jax.networks.mae import other_agents
from limae_jax.systems.belief_quality import Guess, add_step, belief_metrics, no_errors
from limae_jax.types import Timestep

pytestmark = pytest.mark.slow

NUM_EPISODES, NUM_STEPS, NUM_AGENTS = 5, 3, 3
ENV = dataclasses.replace(TINY_ENV, num_agents=NUM_AGENTS, own_features=(1, 2))
NUM_FEATURES = ENV.obs_size + ENV.num_actions


@pytest.fixture(scope="module")
def game():
    """Steps of episodes that end, with agents that die: [steps, B, ...]."""
    generator = np.random.default_rng(3)
    shape = (NUM_STEPS, NUM_EPISODES, NUM_AGENTS)
    obs = generator.normal(size=(*shape, ENV.obs_size)).astype(np.float32)
    obs[..., 0] = 0.7  # does not vary
    last_action = generator.integers(0, ENV.num_actions - 1, size=shape)
    last_action[0] = -1
    alive = generator.random(shape) < 0.8
    is_running = np.ones(shape[:2], bool)
    is_running[1:, 0] = is_running[2, 1:4] = False
    guess = generator.normal(size=(*shape, NUM_AGENTS - 1, NUM_FEATURES)).astype(np.float32)
    return obs, last_action, alive, is_running, guess


def _metrics(obs, last_action, alive, is_running, guess, env=ENV, believed=None):
    errors = no_errors(env)
    for step in range(len(obs)):
        no = jnp.zeros(NUM_EPISODES, bool)
        seen = Timestep(jnp.asarray(obs[step]), no, no, jnp.asarray(alive[step]), no, no, no, no)
        survival = None if believed is None else jnp.asarray(believed[step])
        said = Guess(jnp.asarray(guess[step]), jnp.asarray(last_action[step]), survival)
        errors = add_step(errors, env, said, seen, jnp.asarray(is_running[step]))
    return {name: float(value) for name, value in belief_metrics(errors, env).items()}


def _slowly(obs, last_action, alive, is_running, guess):
    """R2 of each feature, NaN where it does not vary."""
    error, spread = np.zeros(NUM_FEATURES), np.zeros(NUM_FEATURES)
    one_hot = np.where(last_action[..., None] >= 0, np.eye(ENV.num_actions)[last_action], 0.0)
    truth = np.concatenate([obs, one_hot], axis=-1)
    for t, b, i in np.ndindex(alive.shape):
        for rank, j in enumerate(other_agents(NUM_AGENTS)[i]):
            rest = [k for k in range(NUM_EPISODES) if k != b and is_running[t, k] and alive[t, k, j]]
            if is_running[t, b] and alive[t, b, i] and alive[t, b, j] and rest:
                error += (truth[t, b, j] - guess[t, b, i, rank]) ** 2
                spread += (truth[t, b, j] - truth[t, rest, j].mean(0)) ** 2
    varies = spread > 1e-6
    return np.where(varies, 1 - error / np.where(varies, spread, 1), np.nan)


def test_r2_equals_a_slow_computation(game):
    r2, metrics = _slowly(*game), _metrics(*game)
    assert np.isnan(r2[0]) and np.isnan(r2[-1]) and np.isfinite(r2[1:-1]).all()
    np.testing.assert_allclose(metrics["r2"], np.nanmean(r2), rtol=1e-4)
    np.testing.assert_allclose(metrics["r2_health_position"], np.nanmean(r2[1:3]), rtol=1e-4)
    np.testing.assert_allclose(metrics["r2_action"], np.nanmean(r2[ENV.obs_size :]), rtol=1e-4)
    np.testing.assert_allclose(metrics["r2_rest"], r2[3], rtol=1e-4)


def test_the_truth_scores_one_and_the_mean_of_other_episodes_zero(game):
    obs, last_action, _, _, _ = game
    everybody, running = np.ones(game[2].shape, bool), np.ones(game[3].shape, bool)
    one_hot = np.where(last_action[..., None] >= 0, np.eye(ENV.num_actions)[last_action], 0.0)
    truth = np.concatenate([obs, one_hot], axis=-1)
    elsewhere = (truth.sum(1, keepdims=True) - truth) / (NUM_EPISODES - 1)
    others = other_agents(NUM_AGENTS)
    assert _metrics(obs, last_action, everybody, running, truth[:, :, others])["r2"] == pytest.approx(1, abs=1e-5)
    assert _metrics(obs, last_action, everybody, running, elsewhere[:, :, others])["r2"] == pytest.approx(0, abs=1e-5)


def test_what_is_dead_or_over_does_not_count(game):
    obs, last_action, alive, is_running, guess = (np.copy(x) for x in game)
    others = other_agents(NUM_AGENTS)
    is_counted = (alive & is_running[..., None])[..., None] & (alive[..., others])
    spoilt = np.where(is_counted[..., None], guess, np.nan)
    with_nan, without = _metrics(obs, last_action, alive, is_running, spoilt), _metrics(*game)
    assert with_nan.pop("r2_alive") != without.pop("r2_alive")  # NaN: no survival was predicted
    assert with_nan == without


def test_survival_is_scored_against_its_share_in_other_episodes(game):
    alive, is_running = game[2:4]
    believed = np.random.default_rng(8).random((*alive.shape, NUM_AGENTS - 1)).astype(np.float32)
    error = spread = 0.0
    for t, b, i in np.ndindex(alive.shape):
        for rank, j in enumerate(other_agents(NUM_AGENTS)[i]):
            rest = [k for k in range(NUM_EPISODES) if k != b and is_running[t, k]]
            if is_running[t, b] and alive[t, b, i] and rest:
                error += (alive[t, b, j] - believed[t, b, i, rank]) ** 2
                spread += (alive[t, b, j] - np.mean([alive[t, k, j] for k in rest])) ** 2
    assert spread > 1
    assert _metrics(*game, believed=believed)["r2_alive"] == pytest.approx(1 - error / spread, rel=1e-4)
    assert np.isnan(_metrics(*game)["r2_alive"])
    truth = alive[..., other_agents(NUM_AGENTS)].astype(np.float32)
    assert _metrics(*game, believed=truth)["r2_alive"] == 1


def test_nothing_but_one_episode_has_no_reference(game):
    obs, last_action, alive, is_running, guess = game
    alone = np.zeros_like(is_running)
    alone[:, 2] = True
    assert np.isnan(_metrics(obs, last_action, alive, alone, guess)["r2"])


def test_a_smax_observation_says_where_the_visible_team_mates_are():
    env = Smax(SmaxConfig(scenario="3m"))
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    _, timestep = jax.jit(env.step)(state, jnp.asarray([0, 1, 2]), jax.random.key(1))
    view, is_seen = env.spec.team_view(timestep.obs)
    own = np.asarray(timestep.obs)[:, env.spec.own_features]
    assert np.asarray(is_seen).any()
    for viewer, mates in enumerate(other_agents(3)):
        for rank, mate in enumerate(mates):
            if is_seen[viewer, rank]:
                np.testing.assert_allclose(view[viewer, rank], own[mate], atol=1e-5)


def test_out_of_sight_is_not_seen():
    env = Smax(SmaxConfig(scenario="3m", sight_scale=0.01))
    _, timestep = jax.jit(env.reset)(jax.random.key(0))
    assert not np.asarray(env.spec.team_view(timestep.obs)[1]).any()
    assert Smax(SmaxConfig(scenario="3m", observation_type="conic")).spec.team_view is None
