"""Arithmetic of steps, phases and groups of seeds, done once before anything is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from limae_jax.config import TrainConfig
from limae_jax.runs.records import fillers
from limae_jax.systems.base import Phase

# A chunk is the unit of host work (progress, signals, saving): long enough to hide its cost, short enough to stop soon.
CHUNK_TIME_STEPS = 4096

# Plays with the current policy to refill an empty replay.
REFILL = Phase("refill", None, explores_by_schedule=True)


@dataclass(frozen=True)
class PhasePlan:
    """A phase on the shared clock.

    Attributes:
        phase: the phase.
        begin, end: iterations [begin, end); None is no end.
        iterations_per_chunk: in one call of the compiled program; divides the phase.
    """

    phase: Phase
    begin: int
    end: int | None
    iterations_per_chunk: int


def time_steps_per_iteration(config: TrainConfig) -> int:
    """Returns the time steps of one seed in an iteration, final observations included."""
    return config.env.num_envs * config.replay.row_length


def plan_phases(config: TrainConfig, phases: Sequence[Phase], chunk_time_steps: int | None = None) -> list[PhasePlan]:
    """Places the phases on the clock, independently of the run's total length, so that a run can be extended.

    Args:
        config: settings of the run.
        phases: of its system.
        chunk_time_steps: approximate time steps of one seed per chunk; None is CHUNK_TIME_STEPS.
    """
    per_iteration = time_steps_per_iteration(config)
    usual = max(1, (chunk_time_steps or CHUNK_TIME_STEPS) // per_iteration)
    plans, begin = [], 0
    for phase in phases:
        if phase.time_steps is None:
            plans.append(PhasePlan(phase, begin, None, usual))
            break
        iterations = -(-phase.time_steps // per_iteration)
        chunk = min(usual, iterations)
        iterations = -(-iterations // chunk) * chunk
        plans.append(PhasePlan(phase, begin, begin + iterations, chunk))
        begin += iterations
    return plans


def refill_plan(plans: Sequence[PhasePlan], begin: int) -> PhasePlan:
    """Returns the phase that refills a replay emptied at iteration `begin`, as long as the warm-up."""
    warmup = plans[0]
    return PhasePlan(REFILL, begin, begin + (warmup.end or 0), warmup.iterations_per_chunk)


def with_refill(plans: Sequence[PhasePlan], begin: int) -> list[PhasePlan]:
    """Returns the phases of a run whose replay was emptied at iteration `begin`; 0 means never emptied.

    The other phases keep their place on the clock, except where the refill replaces them.
    """
    if begin == 0:
        return list(plans)
    refill = refill_plan(plans, begin)
    end = refill.end or begin
    before = [replace(plan, end=min(plan.end or begin, begin)) for plan in plans if plan.begin < begin]
    after = [replace(plan, begin=max(plan.begin, end)) for plan in plans if plan.end is None or plan.end > end]
    return [*before, refill, *after]


def rows_to_refill(config: TrainConfig, plans: Sequence[PhasePlan], iteration: int) -> int:
    """Returns the rows that each seed still collects before it learns again; 0 outside a refill."""
    plan = phase_at(plans, iteration)
    return ((plan.end or iteration) - iteration) * config.env.num_envs if plan.phase is REFILL else 0


def phase_at(plans: Sequence[PhasePlan], iteration: int) -> PhasePlan:
    """Returns the phase at an iteration of the clock."""
    return plans_after(plans, iteration)[0]


def plans_after(plans: Sequence[PhasePlan], iteration: int) -> list[PhasePlan]:
    """Returns the phases that have not ended at an iteration of the clock."""
    return [plan for plan in plans if plan.end is None or iteration < plan.end]


def is_evaluation_due(config: TrainConfig, before: int, after: int) -> bool:
    """Whether a multiple of `evaluation.every_time_steps` time steps lies between two iterations of the clock."""
    per_iteration, every = time_steps_per_iteration(config), config.evaluation.every_time_steps
    return after * per_iteration // every > before * per_iteration // every


def group_size(config: TrainConfig, backend: str, num_seeds: int | None = None) -> int:
    """Returns the number of seeds that one device trains at once; by default one on a CPU, all on an accelerator.

    Args:
        config: of the run, or of one of the runs that share a program.
        backend: of jax.
        num_seeds: of all runs that share the program; None is those of `config`.
    """
    count = num_seeds or config.run.num_seeds
    choice = "sequential" if config.env.is_played_by_host else config.run.seed_batching
    if choice == "auto":
        choice = "sequential" if backend == "cpu" else "vmapped"
    if choice == "vmapped":
        return count
    return 1 if choice == "sequential" else min(int(choice), count)


def group_seeds(seeds: Sequence[int], group_size: int, num_devices: int) -> list[np.ndarray]:
    """Splits seeds into groups of equal size, each a multiple of the number of devices.

    The last group is filled up with seeds after the last one (from 0 again after the largest int32), which are trained
    but never reported.

    Returns:
        [S] int32 arrays.
    """
    size = -(-group_size // num_devices) * num_devices
    missing = -len(seeds) % size
    return list(np.asarray([*seeds, *fillers(seeds, missing)], np.int32).reshape(-1, size))
