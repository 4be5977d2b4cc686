"""Whole runs of MAPPO and IPPO: they learn a small game, and continue bit for bit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.interrupted import stop_after

from limae_jax.config import IppoConfig, MappoConfig, MatrixConfig, RunConfig, TrainConfig
from limae_jax.config.run import EvalConfig, ReplayConfig
from limae_jax.config.traced import shares_program
from limae_jax.environments import make_env
from limae_jax.environments.vector import VectorEnv
from limae_jax.evaluation.policy import load_policy
from limae_jax.replay.build import build_replay
from limae_jax.systems.build import build_system
from limae_jax.training import runner
from limae_jax.training.loop import Parts, init_seed, make_chunk_under_own_settings
from limae_jax.types import Clock

pytestmark = pytest.mark.slow

# The game is that of the settings.
PLAYS_SMAX = True
SIZES = {"hidden_size": 16, "learning_rate": 3e-3, "reward_scale": 1.0}
# The game pays 12 for one joint action, and next to nothing for the others.
BEST = 12.0


def settings(run_dir="unused", steps=10_000, system=None, scenario="easy", **run) -> TrainConfig:
    return TrainConfig(
        env=MatrixConfig(scenario=scenario, num_envs=16),
        system=system or MappoConfig(**SIZES),
        replay=ReplayConfig(row_length=8),
        evaluation=EvalConfig(every_time_steps=2000, num_episodes=16),
        run=RunConfig(dir=str(run_dir), total_env_steps=steps, **run),
    )


@pytest.mark.parametrize("critic", ["shared", "own"])
def test_ippo_finds_the_best_joint_action(critic, tmp_path):
    config = settings(tmp_path / "run", system=IppoConfig(critic=critic, **SIZES))
    result = runner.train(config, console=False)
    assert [row["test_return_mean"] for row in result.last_rows] == [BEST]


def test_a_run_of_mappo_learns_and_is_continued_bit_for_bit(tmp_path, monkeypatch):
    whole, stopped = (settings(tmp_path / name, num_seeds=2) for name in ("whole", "stopped"))
    result = runner.train(whole, console=False)
    assert [row["test_return_mean"] for row in result.last_rows] == [BEST, BEST]
    last = result.last_rows[0]
    assert last["test_return_mean_sampled"] > 11.0 and last["entropy"] < result.rows[0]["entropy"]
    assert {"policy_loss", "value_loss", "entropy", "approx_kl", "clip_share", "explained_variance"} <= set(last)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        assert runner.train(stopped, console=False).exit_code == 130
    again = runner.train(stopped, console=False)

    def untimed(rows):
        return [{k: v for k, v in row.items() if k not in ("wall_s", "env_steps_per_s")} for row in rows]

    assert untimed(again.rows) == untimed(result.rows) and len(again.rows) > 4
    # The exported policy acts without the state, of which it is given zeros.
    policy, env = load_policy(whole.run_dir), make_env(whole.env)
    _, seen = env.reset(jax.random.key(0))
    action, _ = policy.act(policy.initial_carry, seen.obs, seen.avail)
    assert float(env.step(env.reset(jax.random.key(0))[0], action, jax.random.key(1))[1].reward) == BEST


@functools.cache
def _program():
    config = settings(scenario="two_step")
    env = make_env(config.env)
    system = build_system(config, env.spec)
    parts = Parts(config, VectorEnv(env, config.env.num_envs), system, build_replay(config, system.stores_rows))
    chunk = make_chunk_under_own_settings(parts, system.phases[0], 3)
    return jax.jit(lambda seed: init_seed(parts, seed)), jax.jit(lambda state: chunk(state, Clock(np.int32(0)))[0])


def _trained(seed: int, **changed):
    init, run = _program()
    state = init(np.int32(seed))
    assert set(changed) <= set(state.settings)
    settings = state.settings | {
        name: jnp.asarray(value, state.settings[name].dtype) for name, value in changed.items()
    }
    return jax.device_get(run(state.replace(settings=settings)).learner)


def _are_equal(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def test_a_seed_repeats_and_two_seeds_differ():
    assert _are_equal(_trained(1), _trained(1)) and not _are_equal(_trained(1), _trained(2))


OTHER = dict.fromkeys(MappoConfig.traced, 0.5) | {
    "max_grad_norm": 1e-4,
    "value_weight": 2.0,
    "learning_rate_decay_env_steps": 100,
}


@pytest.mark.parametrize("name", OTHER)
def test_every_traced_setting_reaches_the_program(name):
    decaying = {"system.learning_rate_left": 0.1}
    assert not _are_equal(_trained(1, **decaying), _trained(1, **decaying | {f"system.{name}": OTHER[name]}))


def test_runs_that_differ_in_traced_settings_share_a_program():
    one = settings()
    assert shares_program(one, settings(system=MappoConfig(**SIZES | {"clip": 0.1, "gae_lambda": 0.5})))
    assert not shares_program(one, settings(system=MappoConfig(**SIZES, epochs=2)))
