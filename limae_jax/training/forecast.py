"""How long runs that are trained together have still to go: by what each part of the work took, and what is ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from limae_jax.config import TrainConfig
from limae_jax.metrics.waiting import TimeLeft
from limae_jax.training.compiler import Compiler
from limae_jax.training.plan import PhasePlan, time_steps_per_iteration

EVALUATION = "evaluation"


class Forecast:
    """Adds up what is ahead of all groups of seeds."""

    def __init__(self, config: TrainConfig, plans: Sequence[PhasePlan], compiler: Compiler, num_groups: int = 1):
        """Knows nothing yet.

        Args:
            config: of one of the runs.
            plans: of the phases.
            compiler: of the programs.
            num_groups: that are trained one after the other.
        """
        self._config, self._plans, self._compiler = config, plans, compiler
        self._groups_ahead = num_groups - 1
        # Of each phase, iterations and the seconds they took.
        self._work: dict[str, tuple[int, float]] = {}
        self._evaluation_s, self._saving_s = 0.0, 0.0

    def worked(self, phase: str, iterations: int, seconds: float) -> None:
        """So many seconds went into iterations of a phase, without compiling them."""
        before, spent = self._work.get(phase, (0, 0.0))
        self._work[phase] = before + iterations, spent + seconds

    def evaluated(self, seconds: float) -> None:
        """An evaluation took so long; the next one is expected to."""
        self._evaluation_s = seconds

    def saved(self, seconds: float) -> None:
        """Saving took so long; at the end it is expected to."""
        self._saving_s = seconds

    def next_group(self) -> None:
        """A group is done."""
        self._groups_ahead -= 1

    def left(self, iteration: int, env_steps: int, plans: Sequence[PhasePlan]) -> TimeLeft | None:
        """The time left when the group's clock shows `iteration` and its slowest seed has `env_steps`.

        Args:
            iteration, env_steps: where the group stands.
            plans: of its phases, which may have one more than those of a new group.

        Returns:
            None before anything is known of how long learning takes.
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
        # The one at the end is made in any case.
        return max(int(end * each) - int(begin * each), 1)

    def _seconds_each(self, plan: PhasePlan) -> float | None:
        """Seconds of an iteration; of a phase to come, as of the slowest one that learns."""
        if plan.phase.name in self._work:
            iterations, seconds = self._work[plan.phase.name]
            return seconds / iterations
        learning = [one.phase.name for one in self._plans if one.phase.learn and one.phase.name in self._work]
        return max((self._work[name][1] / self._work[name][0] for name in learning), default=None)


def _phases(plans: Sequence[PhasePlan], begin: float, end: float) -> Iterator[tuple[PhasePlan, float]]:
    """The phases between two readings of the clock, and how many iterations of each are there."""
    for plan in plans:
        count = min(end, end if plan.end is None else plan.end) - max(begin, plan.begin)
        if count > 0:
            chunk = plan.iterations_per_chunk
            yield plan, -(-count // chunk) * chunk
