"""Traced settings: a seed under its own values in a shared program learns as in a program built for them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import CountingEnv, tiny_config

from limae_jax.config import MpeConfig, PrioritisedReplayConfig, SmacConfig
from limae_jax.config.traced import shares_program, traced_names, traced_values, with_values
from limae_jax.environments.vector import VectorEnv
from limae_jax.replay.build import build_replay
from limae_jax.systems.build import build_system
from limae_jax.training.loop import Parts, init_seed, make_chunk, make_chunk_under_own_settings
from limae_jax.types import Clock

pytestmark = pytest.mark.slow

ITERATIONS = 4

# None is its default.
OTHER = {
    "system.gamma": 0.8,
    "system.td_lambda": 0.3,
    "system.learning_rate": 2e-2,
    "system.max_grad_norm": 0.5,
    "system.reward_scale": 2.0,
    "system.target_update_env_steps": 40,
    "system.epsilon_start": 0.8,
    "system.epsilon_end": 0.2,
    "system.epsilon_decay_env_steps": 70,
    "replay.priority_exponent": 1.0,
    "replay.importance_exponent": 0.1,
    "replay.importance_anneal_env_steps": 200,
    "replay.recency_decay": 0.7,
}


def parts_of(config):
    env = CountingEnv()
    return Parts(config, VectorEnv(env, 2), build_system(config, env.spec), build_replay(config))


def train(parts, make, state):
    """The last phase alone: its first iteration has rows to learn from, few as they are."""
    return make(parts, parts.system.phases[-1], ITERATIONS)(state, Clock(jnp.int32(0)))


@pytest.fixture(scope="module")
def config():
    return tiny_config("vdn", replay={"kind": "prioritised"})


def test_a_cell_among_others_learns_as_the_same_cell_alone(config):
    other = with_values(config, OTHER)
    parts = parts_of(config)
    start = jax.jit(lambda seed: init_seed(parts, seed))(jnp.int32(3))
    values = jax.tree.map(lambda *each: jnp.stack([jnp.asarray(x) for x in each]), traced_values(config), OTHER)
    two = jax.tree.map(lambda x: jnp.stack([x, x]), start).replace(settings=values)
    together, seen = jax.jit(jax.vmap(lambda state: train(parts, make_chunk_under_own_settings, state)))(two)
    alone, seen_alone = jax.jit(lambda state: train(parts_of(other), make_chunk, state))(start)
    assert int(alone.counters.grad_steps) == other.system.updates_per_iteration * ITERATIONS
    of_second = jax.tree.map(lambda x: x[1], (together.replace(settings={}), seen))
    expected = (alone.replace(settings={}), seen_alone)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), of_second, expected)
    # The first one has other settings, and went another way.
    assert any(not np.allclose(leaf[0], leaf[1], atol=1e-3) for leaf in jax.tree.leaves(together.learner.params))


def test_those_of_the_auto_encoder_and_its_rule_are_traced_where_they_are_read():
    """They are tested beside what reads them."""
    names = set(traced_names(tiny_config("li_ma2e"))) - OTHER.keys()
    assert names == {
        *("mae.learning_rate", "mae.max_grad_norm", "mae.loss_weight", "masking.probability", "masking.tolerance")
    }


def test_the_other_values_are_other_values_of_all_traced_settings(config):
    assert OTHER.keys() == traced_values(config).keys() == set(traced_names(config))
    assert not [name for name, value in traced_values(config).items() if value == OTHER[name]]
    changed = with_values(config, OTHER)
    assert traced_values(changed) == OTHER
    assert traced_values(config) != OTHER


def test_uniform_replay_has_no_values_of_priorities(config):
    names = traced_values(config).keys() - traced_values(tiny_config("vdn")).keys()
    assert names == {f"replay.{name}" for name in PrioritisedReplayConfig.traced}


def test_which_runs_share_a_program(config):
    assert shares_program(config, with_values(config, OTHER))
    assert shares_program(config, with_values(config, {"run.num_seeds": 5, "run.first_seed": 2, "run.dir": "x"}))
    assert not shares_program(config, with_values(config, {"system.hidden_size": 9}))
    assert not shares_program(config, with_values(config, {"run.total_env_steps": 9}))
    assert not shares_program(config, dataclasses.replace(config, env=MpeConfig()))
    played_by_host = dataclasses.replace(tiny_config(), env=SmacConfig())
    assert not shares_program(played_by_host, played_by_host)
