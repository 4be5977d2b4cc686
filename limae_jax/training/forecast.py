"""Estimates the time left of runs that are trained together, from how long each part of the work took so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from limae_jax.config import TrainConfig
from limae_jax.metrics.waiting import TimeLeft
from limae_jax.training.compiler import Compiler
from limae_jax.training.plan import PhasePlan, time_steps_per_iteration

EVALUATION = "evaluation"


class Forecast:
    """Estimates the time left of all groups of seeds."""

    def __init__(self, config: TrainConfig, plans: Sequence[PhasePlan], compiler: Compiler, num_groups: int = 1):
        """Makes a forecast without measurements.

        Args:
            config: settings of one of the runs.
            plans: of the phases.
            compiler: of the programs.
            num_groups: groups that are trained one after the other.
        """
        self._config, self._plans, self._compiler = config, plans, compiler
        self._groups_ahead = num_groups - 1
        # Phase -> (iterations, seconds that they took).
        self._work: dict[str, tuple[int, float]] = {}
        self._evaluation_s, self._saving_s = 0.0, 0.0

    def worked(self, phase: str, iterations: int, seconds: float) -> None:
        """Records the seconds, without compiling, that iterations of a phase took."""
        before, spent = self._work.get(phase, (0, 0.0))
        self._work[phase] = before + iterations, spent + seconds

    def evaluated(self, seconds: float) -> None:
        """Records the seconds of an evaluation; the next one is expected to take as long."""
        self._evaluation_s = seconds

    def saved(self, seconds: float) -> None:
        """Records the seconds of a save; the save at the end is expected to take as long."""
        self._saving_s = seconds

    def next_group(self) -> None:
        """Called when a group is done."""
        self._groups_ahead -= 1

    def left(self, iteration: int, env_steps: int, plans: Sequence[PhasePlan]) -> TimeLeft | None:
        """Returns the time left when the group's clock is at `iteration` and its slowest seed has `env_steps`.

        Args:
            iteration, env_steps: progress of the group.
            plans: of its phases, possibly one more than in a new group.

        Returns:
            The estimate; None before the duration of learning is known.
        """
        total = self._config.run.total_env_steps
        per_iteration = env_steps / iteration if env_steps else time_steps_per_iteration(self._config)
        end = iteration + max(-(-(total - env_steps) // per_iteration), 0)
        here = self._work_s(plans, iteration, end)
        ahead = self._work_s(self._plans, 0, total / per_iteration) if self._groups_ahead else 0.0
        if here is None or ahead is None:
            return None
        compiling = self._compiler.ahead([*(plan.phase.name for plan, _ in _phases(plans, iteration, end)), EVALUATION])
        return TimeLeft(here + self._groups_ahead * ahead + compiling, compiling)

    def _work_s(self, plans: Sequence[PhasePlan], begin: float, end: float) -> float | None:
        seconds = self._saving_s + self._num_evaluations(begin, end) * self._evaluation_s
        for plan, iterations in _phases(plans, begin, end):
            each = self._seconds_each(plan)
            if each is None:
                return None
            seconds += iterations * each
        return seconds

    def _num_evaluations(self, begin: float, end: float) -> int:
        if end <= begin:
            return 0
        each = time_steps_per_iteration(self._config) / self._config.evaluation.every_time_steps
        # There is always an evaluation at the end.
        return max(int(end * each) - int(begin * each), 1)

    def _seconds_each(self, plan: PhasePlan) -> float | None:
        """Returns seconds per iteration; for a future phase, those of the slowest phase that learns."""
        if plan.phase.name in self._work:
            iterations, seconds = self._work[plan.phase.name]
            return seconds / iterations
        learning = [one.phase.name for one in self._plans if one.phase.learn and one.phase.name in self._work]
        return max((self._work[name][1] / self._work[name][0] for name in learning), default=None)


def _phases(plans: Sequence[PhasePlan], begin: float, end: float) -> Iterator[tuple[PhasePlan, float]]:
    """Yields the phases between two iterations of the clock, and the number of iterations of each."""
    for plan in plans:
        count = min(end, end if plan.end is None else plan.end) - max(begin, plan.begin)
        if count > 0:
            chunk = plan.iterations_per_chunk
            yield plan, -(-count // chunk) * chunk
