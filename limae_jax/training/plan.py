"""All arithmetic about steps, phases and groups of seeds, done once before anything is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from limae_jax.config import TrainConfig
from limae_jax.runs.records import fillers
from limae_jax.systems.base import Phase

# A chunk is the unit of host work (progress line, signals, saving): long enough to hide the host, short enough to stop.
CHUNK_TIME_STEPS = 4096

# Play by the policy that is there, to have something to learn from again.
REFILL = Phase("refill", None, explores_by_schedule=True)


@dataclass(frozen=True)
class PhasePlan:
    """A phase on the shared clock.

    Attributes:
        phase: what is done.
        begin, end: iterations [begin, end); end None is open.
        iterations_per_chunk: in one call of the compiled program; divides the phase.
    """

    phase: Phase
    begin: int
    end: int | None
    iterations_per_chunk: int


def time_steps_per_iteration(config: TrainConfig) -> int:
    """Time steps that all environment copies of a seed play in an iteration, final observations counted in."""
    return config.env.num_envs * config.replay.row_length


def plan_phases(config: TrainConfig, phases: Sequence[Phase], chunk_time_steps: int | None = None) -> list[PhasePlan]:
    """Lays the phases on the clock. Nothing depends on the run's total length, so a run can be extended.

    Args:
        config: of the run.
        phases: of its system.
        chunk_time_steps: about how many time steps of a seed a chunk has; None is CHUNK_TIME_STEPS.
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
    """The phase that fills a replay which is empty at iteration `begin`: as many rows as the warm-up has."""
    warmup = plans[0]
    return PhasePlan(REFILL, begin, begin + (warmup.end or 0), warmup.iterations_per_chunk)


def with_refill(plans: Sequence[PhasePlan], begin: int) -> list[PhasePlan]:
    """The phases of a run whose replay was emptied at iteration `begin`; 0 is a run whose replay never was.

    The others stay where they are on the clock, as far as the refill leaves them room.
    """
    if begin == 0:
        return list(plans)
    refill = refill_plan(plans, begin)
    end = refill.end or begin
    before = [replace(plan, end=min(plan.end or begin, begin)) for plan in plans if plan.begin < begin]
    after = [replace(plan, begin=max(plan.begin, end)) for plan in plans if plan.end is None or plan.end > end]
    return [*before, refill, *after]


def rows_to_refill(config: TrainConfig, plans: Sequence[PhasePlan], iteration: int) -> int:
    """Rows that each seed still collects before it learns again, if the clock is in a refill; else 0."""
    plan = phase_at(plans, iteration)
    return ((plan.end or iteration) - iteration) * config.env.num_envs if plan.phase is REFILL else 0


def phase_at(plans: Sequence[PhasePlan], iteration: int) -> PhasePlan:
    """The phase that the clock is in."""
    return next(plan for plan in plans if plan.end is None or iteration < plan.end)


def is_evaluation_due(config: TrainConfig, before: int, after: int) -> bool:
    """Whether a multiple of `evaluation.every_time_steps` time steps lies between two iterations of the clock."""
    per_iteration, every = time_steps_per_iteration(config), config.evaluation.every_time_steps
    return after * per_iteration // every > before * per_iteration // every


def group_size(config: TrainConfig, backend: str, num_seeds: int | None = None) -> int:
    """Seeds that one device trains at once: on a CPU core one, on an accelerator all.

    Args:
        config: of the run, or of one of the runs that share a program.
        backend: of jax.
        num_seeds: of all runs that share the program; None is the run's own.
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

    The last group is filled up with seeds beyond the last one (from 0 again after the largest int32), which train
    beside the others and are never reported.

    Returns:
        [S] int32 arrays.
    """
    size = -(-group_size // num_devices) * num_devices
    missing = -len(seeds) % size
    return list(np.asarray([*seeds, *fillers(seeds, missing)], np.int32).reshape(-1, size))
