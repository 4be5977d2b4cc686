"""How long a run has still to go, held against runs whose costs are known."""

import pytest

from limae_jax.config.compose import load_config
from limae_jax.systems.base import OffPolicy, Phase
from limae_jax.training.forecast import EVALUATION, Forecast
from limae_jax.training.plan import PhasePlan, is_evaluation_due, phase_at

# 100 time steps an iteration; an evaluation every 10 iterations.
SETTINGS = ["env.num_envs=5", "replay.row_length=20", "replay.capacity_rows=100", "evaluation.every_time_steps=1000"]
PLANS = [
    PhasePlan(Phase("warmup", 500, False), 0, 5, 5),
    PhasePlan(Phase("pretrain", 2000, False, OffPolicy(lambda *_: None, 1)), 5, 25, 5),
    PhasePlan(Phase("train", None, True, OffPolicy(lambda *_: None, 1)), 25, None, 5),
]
COMPILING = {"warmup": 6.0, "pretrain": 9.0, "train": 25.0, EVALUATION: 10.0}
ITERATION = {"warmup": 0.1, "pretrain": 1.0, "train": 1.0}
EVALUATING, SAVING = 4.0, 2.0


class Costs:
    """A compiler that knows what is ahead."""

    def __init__(self):
        self.compiled = set()

    def ahead(self, names):
        return sum(COMPILING[name] for name in set(names) - self.compiled)


def simulated(total, forecast, costs, groups=1, env_steps_per_iteration=97):
    """Runs by the book; yields (seconds so far, time left as told) after each chunk, and at last the end."""
    seconds, compiled = 0.0, costs.compiled

    def compile_once(name):
        nonlocal seconds
        seconds += 0.0 if name in compiled else COMPILING[name]
        compiled.add(name)

    for _ in range(groups):
        iteration = 0
        while iteration * env_steps_per_iteration < total:
            plan, before = phase_at(PLANS, iteration), iteration
            name = plan.phase.name
            compile_once(name)
            took = plan.iterations_per_chunk * ITERATION[name]
            seconds += took
            iteration += plan.iterations_per_chunk
            forecast.worked(name, plan.iterations_per_chunk, took)
            yield seconds, forecast.left(iteration, iteration * env_steps_per_iteration, PLANS)
            if is_evaluation_due(CONFIG, before, iteration) or iteration * env_steps_per_iteration >= total:
                compile_once(EVALUATION)
                seconds += EVALUATING
                forecast.evaluated(EVALUATING)
        seconds += SAVING
        forecast.saved(SAVING)
        forecast.next_group()
    yield seconds, None


CONFIG = load_config([*SETTINGS, "run.total_env_steps=10000"])


@pytest.mark.parametrize("groups", [1, 3])
def test_the_time_left_counts_all_that_is_to_come(groups):
    costs = Costs()
    told = list(simulated(10_000, Forecast(CONFIG, PLANS, costs, groups), costs, groups))
    end, _ = told.pop()
    assert told[0][1] is None  # the warm-up tells nothing of learning
    known = [(seconds, left.seconds) for seconds, left in told if left]
    errors = [abs(seconds + left - end) / end for seconds, left in known]
    # Evaluations and saving are counted from the first one on.
    assert len(known) == len(told) - 1
    assert max(errors) < 0.3 and max(errors[3:]) < 0.06


def test_what_is_to_be_compiled_is_told_apart():
    costs = Costs()
    forecast = Forecast(CONFIG, PLANS, costs)
    forecast.worked("pretrain", 5, 5.0)
    costs.compiled |= {"warmup", "pretrain"}
    assert forecast.left(10, 970, PLANS).compiling == 35.0
    costs.compiled |= {"train"}
    assert forecast.left(10, 970, PLANS).compiling == 10.0


def test_a_run_that_ends_within_a_phase_compiles_no_other():
    config = load_config([*SETTINGS, "run.total_env_steps=1500"])
    costs = Costs()
    forecast = Forecast(config, PLANS, costs)
    forecast.worked("pretrain", 5, 5.0)
    costs.compiled |= {"warmup", "pretrain", EVALUATION}
    # Six iterations are left, which takes two chunks.
    assert forecast.left(10, 970, PLANS).seconds == pytest.approx(10.0)


def test_a_run_that_is_complete_has_nothing_left_but_what_ends_it():
    forecast = Forecast(CONFIG, PLANS, Costs())
    forecast.worked("train", 5, 5.0)
    forecast.saved(2.0)
    assert forecast.left(110, 10_670, PLANS).seconds == 2.0 + COMPILING[EVALUATION]
