"""A learner on the rows that were just collected: no replay, whole minibatches, the finite guard, exact resume."""

import functools
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.interrupted import stop_after

from limae_jax.catalogue.systems import SYSTEMS
from limae_jax.config import SYSTEM_CONFIGS, MatrixConfig, RunConfig, SystemConfig, TrainConfig, plugins
from limae_jax.config.run import EvalConfig, ReplayConfig
from limae_jax.environments import make_env
from limae_jax.environments.vector import VectorEnv
from limae_jax.errors import InputError
from limae_jax.keys import Stream, stream_key
from limae_jax.losses.td import choose
from limae_jax.registry import REGISTERED, Registered
from limae_jax.replay.build import build_replay
from limae_jax.systems.base import Acted, ActorCarry, LearnerState, OnPolicy, Phase, Step, System
from limae_jax.systems.build import build_system
from limae_jax.training import runner
from limae_jax.training.loop import Parts, init_seed, make_chunk
from limae_jax.types import Clock

pytestmark = pytest.mark.slow

# The game is that of the settings.
PLAYS_SMAX = True
EPOCHS, MINIBATCHES, ENVS, RATE = 3, 2, 4, 0.3


@dataclass(frozen=True)
class PolicyGradientConfig(SystemConfig):
    name: str = "policy_gradient"


def make_system(config, env):
    """A table of logits [A, U], one for every state, moved along the policy gradient of the reward."""

    def act(params, carry, timestep, exploration, key):
        logits = jnp.broadcast_to(params["agent"], timestep.avail.shape)
        sampled = jax.random.categorical(key, jnp.where(exploration == 1, 0.0, logits))
        action = jnp.where(exploration == 0, jnp.argmax(logits, axis=-1), sampled).astype(jnp.int32)
        log_prob = choose(jax.nn.log_softmax(logits), action)
        return Acted(action, carry.replace(last_action=action), {"log_prob": log_prob})

    def prepare(state, rows):
        count = jnp.maximum(jnp.sum(rows.filled), 1)
        advantage = rows.reward - jnp.sum(jnp.where(rows.filled, rows.reward, 0.0)) / count
        number = jnp.broadcast_to(jnp.arange(rows.filled.shape[1], dtype=jnp.float32), rows.filled.shape)
        return rows.replace(
            extras={
                **rows.extras,
                "advantage": advantage,
                "row": number,
                "table": rows.reward * 0 + state.params["agent"][0, 0],
            }
        )

    def update(state, batch, counters, key):
        rows = batch.rows

        def loss(table):
            log_prob = choose(jax.nn.log_softmax(jnp.broadcast_to(table, rows.avail.shape)), rows.action)
            ratio = jnp.exp(log_prob - rows.extras["log_prob"])
            return -jnp.mean(jnp.where(rows.filled[..., None], ratio * rows.extras["advantage"][..., None], 0.0))

        value, grad = jax.value_and_grad(loss)(state.params["agent"])
        seen = {"row_sum": jnp.sum(rows.extras["row"][0]), "rows": jnp.float32(rows.filled.shape[1])}
        seen |= {"table": rows.extras["table"][0, 0], "drawn": jax.random.uniform(key)}
        seen["index_sum"] = jnp.sum(batch.index).astype(jnp.float32)
        after = state.replace(params={"agent": state.params["agent"] - RATE * grad})
        return Step(after, value, jnp.sqrt(jnp.sum(grad**2)), seen)

    learn = OnPolicy(prepare, update, EPOCHS, MINIBATCHES)
    return System(
        init=lambda key: LearnerState({"agent": jnp.zeros((env.num_agents, env.num_actions))}, {}, (), {}),
        initial_carry=lambda rows: ActorCarry((), jnp.full((rows, env.num_agents), -1, jnp.int32)),
        act=act,
        exploration=lambda counters: jnp.full((), 0.5),
        after_iteration=lambda state, before, after: state,
        phases=(Phase("train", None, explores_by_schedule=True, learn=learn),),
    )


@pytest.fixture
def policy_gradient(monkeypatch):
    monkeypatch.setitem(SYSTEM_CONFIGS, "policy_gradient", PolicyGradientConfig)
    monkeypatch.setitem(SYSTEMS, "policy_gradient", "a test's")
    monkeypatch.setitem(REGISTERED["system"], "policy_gradient", Registered(make_system, "tests"))
    monkeypatch.setattr(plugins, "_loaded", {*plugins._loaded, "tests"})


def settings(run_dir="unused", steps=4000) -> TrainConfig:
    return TrainConfig(
        env=MatrixConfig(scenario="monotone", num_envs=ENVS),
        system=PolicyGradientConfig(reward_scale=1.0),
        replay=ReplayConfig(row_length=8, capacity_rows=8, batch_rows=2, min_rows=2),
        evaluation=EvalConfig(every_time_steps=4000, num_episodes=4),
        run=RunConfig(dir=str(run_dir), total_env_steps=steps, num_seeds=2),
    )


@functools.cache
def chunk(iterations: int, fails_at: int | None = None):
    config = settings()
    env = make_env(config.env)
    system = make_system(config, env.spec)
    if fails_at is not None:
        phase = system.phases[0]

        def failing(state, batch, counters, key):
            step = phase.learn.update(state, batch, counters, key)
            return step._replace(loss=jnp.where(counters.grad_steps == fails_at, jnp.nan, step.loss))

        system = system._replace(phases=(phase._replace(learn=phase.learn._replace(update=failing)),))
    parts = Parts(config, VectorEnv(env, ENVS), system, build_replay(config, system.stores_rows))
    start = jax.jit(lambda seed: init_seed(parts, seed))(jnp.int32(3))
    return start, *jax.jit(make_chunk(parts, system.phases[0], iterations))(start, Clock(np.int32(5)))


def test_each_epoch_uses_every_row_once_in_another_order(policy_gradient):
    _, state, metrics = chunk(1)
    assert state.counters.grad_steps == EPOCHS * MINIBATCHES and state.replay == ()
    means = jax.tree.map(float, metrics.means)
    assert means["rows"] == ENVS / MINIBATCHES
    # Means over minibatches of sums over their rows.
    assert means["row_sum"] == means["index_sum"] == sum(range(ENVS)) / MINIBATCHES
    orders = [
        jax.random.permutation(stream_key(3, Stream.REPLAY, 5 * EPOCHS + epoch), ENVS).tolist()
        for epoch in range(EPOCHS)
    ]
    assert len({tuple(order) for order in orders}) > 1
    counts = [(5 * EPOCHS + epoch) * MINIBATCHES + number for epoch in range(EPOCHS) for number in range(MINIBATCHES)]
    draws = [float(jax.random.uniform(stream_key(3, Stream.UPDATE, count))) for count in counts]
    assert means["drawn"] == pytest.approx(np.mean(draws), rel=1e-5)


def test_what_is_prepared_is_of_the_parameters_that_acted(policy_gradient):
    """All minibatches of an iteration see the table of before it, though it moves in between."""
    _, state, metrics = chunk(1)
    assert float(metrics.means["table"]) == 0.0 and float(state.learner.params["agent"][0, 0]) != 0.0


def test_a_minibatch_that_is_not_finite_changes_nothing_and_ends_the_learning(policy_gradient):
    _, state, _ = chunk(1, fails_at=2)
    assert state.is_failed and state.counters.grad_steps == 2
    _, healthy, _ = chunk(1)
    assert not np.array_equal(state.learner.params["agent"], healthy.learner.params["agent"])
    assert np.isfinite(state.learner.params["agent"]).all()


def test_minibatches_that_leave_rows_over_are_refused(policy_gradient, tmp_path):
    config = settings(tmp_path / "runs" / "run")
    config = replace(config, env=replace(config.env, num_envs=3))
    with pytest.raises(InputError, match=r"^env.num_envs=3: must be a multiple of the 2 minibatches of each epoch$"):
        runner.train(config, console=False)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_rows_learns_and_is_continued_bit_for_bit(policy_gradient, tmp_path, monkeypatch):
    assert not build_system(settings(), make_env(settings().env).spec).stores_rows
    whole, stopped = (settings(tmp_path / name, 20_000) for name in ("whole", "stopped"))
    result = runner.train(whole, console=False)
    assert [row["test_optimum_mean"] for row in result.last_rows] == [1.0, 1.0]
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        assert runner.train(stopped, console=False).exit_code == 130
    again = runner.train(stopped, console=False)

    def untimed(rows):
        return [{k: v for k, v in row.items() if k not in ("wall_s", "env_steps_per_s")} for row in rows]

    assert untimed(again.rows) == untimed(result.rows) and len(again.rows) > 4
    longer = runner.train(settings(tmp_path / "whole", 24_000), console=False)
    assert longer.is_complete and {row["phase"] for row in longer.rows} == {"train"}
