import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limae_jax.config import EvalConfig, ReplayConfig, RunConfig, SmaxConfig, TrainConfig
from limae_jax.systems.base import Phase
from limae_jax.training import plan as plan_module
from limae_jax.training.plan import (
    REFILL,
    group_size,
    is_evaluation_due,
    phase_at,
    plan_phases,
    plans_after,
    rows_to_refill,
    time_steps_per_iteration,
    with_refill,
)


@pytest.fixture(autouse=True)
def usual_chunks(monkeypatch):
    monkeypatch.setattr(plan_module, "CHUNK_TIME_STEPS", 4096)


def _config(num_envs: int = 4, row_length: int = 16, every: int = 100, **run) -> TrainConfig:
    return TrainConfig(
        env=SmaxConfig(num_envs=num_envs),
        replay=ReplayConfig(row_length=row_length, capacity_rows=64),
        evaluation=EvalConfig(every_time_steps=every),
        run=RunConfig(**run),
    )


def _phases(*env_steps: int) -> list[Phase]:
    closed = [Phase(f"phase {i}", steps, False, None) for i, steps in enumerate(env_steps)]
    return [*closed, Phase("train", None, True, None)]


def test_phases_lie_on_the_clock_in_order():
    config = _config()
    assert time_steps_per_iteration(config) == 64
    # 6400 steps are 100 iterations of 64, rounded up to two chunks of 64; 65 steps need two iterations.
    plans = plan_phases(config, _phases(6400, 65))
    assert [(plan.phase.name, plan.begin, plan.end, plan.iterations_per_chunk) for plan in plans] == [
        ("phase 0", 0, 128, 64),
        ("phase 1", 128, 130, 2),
        ("train", 130, None, 64),
    ]
    names = [phase_at(plans, iteration).phase.name for iteration in (0, 127, 128, 129, 130, 10**6)]
    assert names == ["phase 0", "phase 0", "phase 1", "phase 1", "train", "train"]
    left = [[plan.phase.name for plan in plans_after(plans, iteration)] for iteration in (0, 127, 128, 130)]
    assert left == [["phase 0", "phase 1", "train"]] * 2 + [["phase 1", "train"], ["train"]]


@settings(deadline=None, max_examples=100)
@given(
    num_envs=st.integers(1, 64),
    row_length=st.integers(1, 300),
    env_steps=st.lists(st.integers(1, 200_000), max_size=3),
)
def test_chunks_divide_phases_that_are_long_enough_and_not_longer_than_needed(num_envs, row_length, env_steps):
    config = _config(num_envs, row_length)
    per_iteration, begin = num_envs * row_length, 0
    plans = plan_phases(config, _phases(*env_steps))
    for plan, steps in zip(plans, [*env_steps, None], strict=True):
        assert plan.begin == begin and plan.iterations_per_chunk >= 1
        assert plan.iterations_per_chunk == 1 or plan.iterations_per_chunk * per_iteration <= 4096
        if steps is None:
            assert plan.end is None
            break
        assert plan.end is not None
        length, begin = plan.end - plan.begin, plan.end
        assert length % plan.iterations_per_chunk == 0
        assert steps <= length * per_iteration < steps + plan.iterations_per_chunk * per_iteration


def test_nothing_depends_on_the_total_length():
    config = _config(total_env_steps=1000)
    longer = dataclasses.replace(config, run=dataclasses.replace(config.run, total_env_steps=10**9))
    phases = _phases(6400)
    assert plan_phases(config, phases) == plan_phases(longer, phases)
    assert [is_evaluation_due(config, i, i + 3) for i in range(50)] == [
        is_evaluation_due(longer, i, i + 3) for i in range(50)
    ]


def test_evaluation_is_due_when_a_multiple_is_crossed():
    config = _config(every=128)
    assert not is_evaluation_due(config, 0, 1)
    assert is_evaluation_due(config, 1, 2)
    assert not is_evaluation_due(config, 2, 3)
    assert is_evaluation_due(config, 0, 10)
    assert not is_evaluation_due(config, 2, 2)


@pytest.mark.parametrize("every", [1, 63, 64, 100, 1000])
@pytest.mark.parametrize("chunk", [1, 3])
def test_evaluations_do_not_drift(every, chunk):
    config = _config(every=every)
    ends = range(chunk, 300, chunk)
    due = [end for end in ends if is_evaluation_due(config, end - chunk, end)]
    expected = [end for end in ends if any(step % every == 0 for step in range((end - chunk) * 64 + 1, end * 64 + 1))]
    assert due == expected


@pytest.mark.parametrize(
    "choice, backend, size",
    [
        ("auto", "cpu", 1),
        ("auto", "gpu", 6),
        ("vmapped", "cpu", 6),
        ("sequential", "gpu", 1),
        ("4", "cpu", 4),
        ("100", "gpu", 6),
    ],
)
def test_group_size(choice, backend, size):
    assert group_size(_config(num_seeds=6, seed_batching=choice), backend) == size


def test_a_refill_is_as_long_as_the_warmup_and_moves_nothing_else():
    config = _config()
    plans = plan_phases(config, _phases(6400, 65))
    assert with_refill(plans, 0) == plans
    refilled = with_refill(plans, 1000)
    assert [(plan.phase.name, plan.begin, plan.end, plan.iterations_per_chunk) for plan in refilled] == [
        ("phase 0", 0, 128, 64),
        ("phase 1", 128, 130, 2),
        ("train", 130, 1000, 64),
        ("refill", 1000, 1128, 64),
        ("train", 1128, None, 64),
    ]
    assert [rows_to_refill(config, refilled, iteration) for iteration in (999, 1000, 1064, 1128)] == [0, 512, 256, 0]


@given(begin=st.integers(1, 400), env_steps=st.lists(st.integers(1, 9000), min_size=1, max_size=3))
def test_wherever_a_replay_was_emptied_nothing_is_learned_before_it_is_filled(begin, env_steps):
    plans = plan_phases(_config(), _phases(*env_steps))
    refilled, length = with_refill(plans, begin), plans[0].end
    at = [phase_at(refilled, iteration).phase for iteration in range(begin + 2 * length + 400)]
    assert {phase is REFILL for phase in at[begin : begin + length]} == {True}
    for iteration in [*range(begin), *range(begin + length, len(at))]:
        assert at[iteration] is phase_at(plans, iteration).phase
