"""What the training loop reports, and how it is added up between two evaluations."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import CountingEnv, tiny_config

from limae_jax.environments.vector import VectorEnv
from limae_jax.keys import Stream, stream_key
from limae_jax.replay.uniform import uniform_replay
from limae_jax.systems.base import OffPolicy, Phase, Step
from limae_jax.systems.build import build_system
from limae_jax.training.loop import ChunkMetrics, Parts, init_seed, make_chunk
from limae_jax.training.meter import Meter
from limae_jax.types import Clock

pytestmark = pytest.mark.slow

ITERATIONS, UPDATES, SEED = 2, 3, 5


def chunk(epsilon=None, episodes=None, **means) -> ChunkMetrics:
    """A chunk's metrics of two seeds: `x=3` is 3 for the first and 30 for the second. Episodes as (number, returns)."""

    def of_seeds(values):
        return {name: np.array([value, 10.0 * value], np.float32) for name, value in values.items()}

    sums = {} if episodes is None else dict(zip(("train_episodes", "train_return_sum"), episodes, strict=True))
    return ChunkMetrics(of_seeds({} if epsilon is None else {"epsilon": epsilon}), of_seeds(means), of_seeds(sums))


def metered(*chunks: ChunkMetrics) -> Meter:
    meter = Meter(np.zeros(2, np.int32))
    for count, metrics in enumerate(chunks, start=1):
        meter.add(metrics, np.full(2, 100 * count, np.int32), seconds=0.5)
    return meter


def test_a_row_holds_means_sums_and_newest_values():
    meter = metered(
        chunk(epsilon=0.9, loss=1, episodes=(2, 10)),
        chunk(epsilon=0.7, loss=4, episodes=(0, 0)),
        chunk(epsilon=0.5, loss=1, episodes=(3, 5)),
    )
    assert meter.per_seed(0) == pytest.approx(
        {"epsilon": 0.5, "loss": 2.0, "train_episodes": 5, "train_return_mean": 3.0}
    )
    assert meter.per_seed(1) == pytest.approx(
        {"epsilon": 5.0, "loss": 20.0, "train_episodes": 50, "train_return_mean": 3.0}
    )
    assert type(meter.per_seed(0)["train_episodes"]) is int
    # 300 steps of each seed in 1.5 s; the progress line shows the newest loss.
    assert meter.env_steps_per_s == 400
    np.testing.assert_array_equal(meter.last["loss"], [1, 10])


def test_no_finished_episode_has_no_return():
    row = metered(chunk(episodes=(0, 0))).per_seed(0)
    assert row == {"train_episodes": 0, "train_return_mean": None}


def test_a_new_phase_starts_the_means_afresh_and_only_them():
    meter = metered(
        chunk(epsilon=1, episodes=(1, 7)),
        chunk(loss=100, **{"mae/loss": 100}, epsilon=1, episodes=(1, 7)),
        chunk(loss=2, **{"td_loss": 8}, epsilon=0.5, episodes=(1, 1)),
        chunk(loss=4, **{"td_loss": 0}, epsilon=0.4, episodes=(0, 0)),
    )
    expected = {"loss": 3.0, "td_loss": 4.0, "epsilon": 0.4, "train_episodes": 3, "train_return_mean": 5.0}
    assert meter.per_seed(0) == pytest.approx(expected)


def test_what_only_the_phase_before_reported_is_gone():
    meter = metered(chunk(loss=1, **{"mae/loss": 1}), chunk(loss=2, td_loss=2), chunk(epsilon=1))
    assert meter.last.keys() == {"epsilon"} and meter.per_seed(0).keys() == {"epsilon"}


@pytest.mark.parametrize("stopped_after", [0, 1, 2, 3])
def test_a_stopped_meter_goes_on_as_if_nothing_had_been(stopped_after):
    """Also where the phases changed since the last evaluation."""
    chunks = [
        chunk(loss=100, **{"mae/loss": 1 / 3}, epsilon=1, episodes=(1, 7)),
        chunk(loss=1 / 3, epsilon=0.9, episodes=(4, 1 / 7)),
        chunk(loss=1 / 7, epsilon=0.8, episodes=(5, 1 / 3)),
        chunk(loss=1 / 9, epsilon=0.7, episodes=(0, 0)),
    ]
    meter, whole = metered(*chunks[:stopped_after]), metered(*chunks)
    meter = Meter(np.full(2, 100 * stopped_after, np.int32), json.loads(json.dumps(meter.state)))
    for count, metrics in enumerate(chunks[stopped_after:], start=stopped_after + 1):
        meter.add(metrics, np.full(2, 100 * count, np.int32), seconds=0.5)
    assert [meter.per_seed(index) for index in (0, 1)] == [whole.per_seed(index) for index in (0, 1)]
    assert meter.env_steps_per_s == whole.env_steps_per_s


def _numbering_update(state, batch, counters, key):
    """Learns nothing; its loss is the number of the step."""
    number = counters.grad_steps.astype(jnp.float32)
    return Step(state, number, jnp.ones(()), {"drawn": jax.random.uniform(key)})


def _failing_update(state, batch, counters, key):
    step = _numbering_update(state, batch, counters, key)
    return step._replace(loss=jnp.where(counters.grad_steps == 4, jnp.nan, step.loss))


@functools.cache
def reported(update, stream: Stream = Stream.UPDATE, updates: int = UPDATES):
    """Seed state and metrics after a chunk that starts at iteration 7."""
    config, env = tiny_config("vdn"), CountingEnv()
    system = build_system(config, env.spec)
    parts = Parts(config, VectorEnv(env, config.env.num_envs), system, uniform_replay(config.replay))
    phase = Phase("phase", None, False, update and OffPolicy(update, updates, (Stream.REPLAY, stream)))
    run = jax.jit(make_chunk(parts, phase, ITERATIONS))
    return run(jax.jit(lambda seed: init_seed(parts, seed))(jnp.int32(SEED)), Clock(np.int32(7)))


def test_learner_metrics_are_means_over_all_gradient_steps():
    state, metrics = reported(_numbering_update, Stream.PRETRAIN_UPDATE)
    assert state.counters.grad_steps == ITERATIONS * UPDATES
    assert metrics.means["loss"] == 2.5 and metrics.means["grad_norm"] == 1.0
    assert metrics.latest.keys() == {"epsilon"} and metrics.sums.keys() == {"train_episodes", "train_return_sum"}


@pytest.mark.parametrize(
    ("update", "stream"), [(_numbering_update, Stream.PRETRAIN_UPDATE), (_failing_update, Stream.UPDATE)]
)
def test_each_gradient_step_draws_from_its_own_key_of_the_phases_stream(update, stream):
    _, metrics = reported(update, stream)
    counts = range(7 * UPDATES, (7 + ITERATIONS) * UPDATES)
    draws = [float(jax.random.uniform(stream_key(SEED, stream, count))) for count in counts]
    assert len(set(draws)) == len(draws)
    np.testing.assert_allclose(metrics.means["drawn"], np.mean(draws), rtol=1e-6)


def test_a_step_that_is_not_finite_ends_the_counting():
    state, metrics = reported(_failing_update, Stream.UPDATE)
    assert state.is_failed and state.counters.grad_steps == 4
    assert np.isnan(metrics.means["loss"])


def test_a_phase_without_updates_reports_no_means():
    state, metrics = reported(None, updates=0)
    assert state.counters.grad_steps == 0
    assert metrics.means == {} and metrics.latest.keys() == {"epsilon"}
