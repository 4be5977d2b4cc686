"""Training from a prioritised replay: priorities are of the rows that were learned from, in every system."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import CountingEnv, tiny_config
from doubles.interrupted import assert_equal_runs, stop_after

from limae_jax.config.compose import load_config
from limae_jax.environments.vector import VectorEnv
from limae_jax.keys import Stream
from limae_jax.replay.build import build_replay
from limae_jax.systems.base import OffPolicy, Phase, Step
from limae_jax.systems.build import build_system
from limae_jax.training import runner
from limae_jax.training.loop import Parts, init_seed, make_chunk, make_chunk_under_own_settings
from limae_jax.types import Clock

pytestmark = pytest.mark.slow

PRIORITISED = "replay.kind=prioritised"
PRIORITY = ".replay.priority"


def _parts(name: str = "vdn", rows: dict | None = None) -> Parts:
    config, env = tiny_config(name, replay={"kind": "prioritised"} | (rows or {})), CountingEnv()
    return Parts(config, VectorEnv(env, config.env.num_envs), build_system(config, env.spec), build_replay(config))


def _name_of(rows) -> jax.Array:
    """[B] a number of a row that hardly another one has."""
    weights = 1.0 + jnp.arange(rows.reward.shape[0])
    return jnp.einsum("t,tb->b", weights, rows.reward) + jnp.einsum("t,tba->b", weights**2, rows.action)


def _naming_update(state, batch, counters, key):
    """Learns nothing; a row's priority is its name."""
    return Step(state, jnp.zeros(()), jnp.ones(()), {}, _name_of(batch.rows))


def _run(parts: Parts, update, iterations: int, seeds: int = 1):
    phase = Phase("phase", None, False, OffPolicy(update, 3, (Stream.REPLAY, Stream.UPDATE)))
    chunk = make_chunk(parts, phase, iterations)
    state = jax.jit(jax.vmap(lambda seed: init_seed(parts, seed)))(jnp.arange(seeds, dtype=jnp.int32))
    return jax.jit(jax.vmap(lambda state: chunk(state, Clock(jnp.int32(0)))))(state)


@pytest.mark.parametrize("iterations", [1, 4, 5, 9])
def test_every_priority_is_of_the_row_that_is_there(iterations):
    """Two rows an iteration into a ring of seven: from the fourth on, rows are overwritten, also across its end."""
    parts = _parts(rows={"capacity_rows": 7})
    state, _ = _run(parts, _naming_update, iterations, seeds=2)
    for seed in range(2):
        replay = jax.tree.map(lambda x, s=seed: x[s], state.replay)
        ring, _ = parts.replay.split(replay)
        rows = jax.tree.map(lambda x: jnp.swapaxes(x[0], 0, 1), ring.replace(start=()))
        names, priority = np.asarray(_name_of(rows)), np.asarray(replay.priority)
        is_known = np.isfinite(priority)
        assert len(set(names[: min(7, 2 * iterations)])) == min(7, 2 * iterations)
        assert is_known.any() and not is_known[2 * iterations :].any()
        np.testing.assert_allclose(priority[is_known], names[is_known], rtol=1e-5)


def test_a_seed_that_fails_goes_on_drawing_rows_and_disturbs_no_other():
    def update(state, batch, counters, key):
        step = _naming_update(state, batch, counters, key)
        fails = (counters.grad_steps == 4) & (batch.rows.reward[0, 0] < jnp.inf)
        return step._replace(loss=jnp.where(fails, jnp.nan, 0.0), priority=jnp.where(fails, jnp.nan, step.priority))

    parts = _parts()
    state, _ = _run(parts, update, 6)
    sound, _ = _run(parts, _naming_update, 6)
    assert state.is_failed.all() and not sound.is_failed.any()
    one = jax.tree.map(lambda x: x[0], state.replay)
    sample = parts.replay.sample(one, jax.random.key(0), jax.tree.map(lambda x: x[0], state.counters))
    assert np.isfinite(sample.weight).all() and sample.rows.filled.any(axis=0).all()


@pytest.mark.parametrize(
    ("name", "priority"),
    [
        ("iql", "agents"),
        ("qmix", "team"),
        ("li_ma2e", "agents"),
        *(
            pytest.param(name, priority, marks=pytest.mark.exhaustive)
            for name in ("iql", "vdn", "qmix", "qplex", "ma2e", "li_ma2e", "oracle")
            for priority in ("team", "agents")
        ),
    ],
)
def test_every_system_learns_from_it(name, priority):
    parts = _parts(name, {"priority": priority, "recency_decay": 0.9, "importance_exponent": 1.0})
    state = jax.jit(lambda seed: init_seed(parts, seed))(jnp.int32(3))
    for phase in [phase for phase in parts.system.phases if phase.learn]:
        state, metrics = jax.jit(make_chunk_under_own_settings(parts, phase, 2))(state, Clock(jnp.int32(0)))
        # Pre-training gives no priorities: what it draws, it draws alike.
        has_priorities = bool(np.isfinite(state.replay.priority).any())
        assert has_priorities == (phase is parts.system.phases[-1])
    assert 0 < metrics.means["importance_weight_mean"] < 1
    assert not state.is_failed and state.counters.grad_steps >= 4
    priority = np.asarray(state.replay.priority)
    assert (priority[np.isfinite(priority)] > 1e-3).all()


def test_a_uniform_replay_carries_no_priorities_nor_their_settings():
    parts = _parts()
    uniform = dataclasses.replace(parts.config, replay=tiny_config().replay)
    state = jax.eval_shape(lambda: init_seed(parts._replace(config=uniform, replay=build_replay(uniform)), 0))
    assert not [name for name in state.settings if name.startswith("replay.")]
    assert len(jax.tree.leaves(jax.eval_shape(lambda: init_seed(parts, 0)))) == len(jax.tree.leaves(state)) + 5


def test_a_resumed_run_equals_one_that_was_not_stopped(tiny, final_arrays, monkeypatch):
    overrides = [PRIORITISED, "replay.recency_decay=0.9", "run.num_seeds=2", "run.seed_batching=2"]
    whole, stopped = (load_config(tiny(*overrides, name=name)) for name in ("whole", "stopped"))
    runner.train(whole)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        assert runner.train(stopped).exit_code == 130
    runner.train(stopped)
    assert_equal_runs(stopped.run_dir, whole.run_dir, final_arrays)
    arrays = final_arrays(whole.run_dir)
    known = [np.isfinite(values) for name, values in arrays.items() if name.endswith(PRIORITY)]
    assert len(known) == 1 and known[0].shape == (2, 100) and known[0].any() and not known[0].all()


def test_an_extended_run_fills_its_replay_again_and_forgets_the_old_priorities(tiny, final_arrays):
    overrides = [PRIORITISED, "checkpoint.keep_replay=false", "run.total_env_steps=4000"]
    config = load_config(tiny(*overrides))
    assert runner.train(config).is_complete
    # What was kept says nothing of rows that are gone.
    arrays = final_arrays(config.run_dir)
    assert np.isinf(next(values for name, values in arrays.items() if name.endswith(PRIORITY))).all()
    assert runner.resume(Path(config.run_dir), ["run.total_env_steps=9000"]).is_complete
