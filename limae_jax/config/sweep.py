"""Settings of a sweep; they are no part of a run's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from limae_jax.checks import Section


@dataclass(frozen=True)
class SweepConfig(Section):
    """A grid of runs, its cells.

    Attributes:
        dir: holds a run directory of each cell; null is `runs/<experiment>`, or `runs/sweep` without one.
        axes: lists of choices; the grid has every combination. A choice is one override or several with blanks between
            them, such as `system=ma2e masking=random_matched`. Comma lists on the command line are further axes.
        cluster: `none` trains in this process; `slurm` sends each compiled program's cells as a job (extra `cluster`),
            `local` starts all jobs on this machine at once.
        cluster_options: parameters of submitit's executor, such as `{timeout_min: 600, slurm_partition: gpu}`.
    """

    section: ClassVar[str] = "sweep"

    dir: str | None = None
    axes: tuple[tuple[str, ...], ...] = ()
    cluster: str = "none"
    cluster_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("cluster", "none", "slurm", "local")
        self._path("dir")
        self._check(all(self.axes), "axes", "an axis needs at least one choice")
        self._check(not self.cluster_options or self.cluster != "none", "cluster_options", "needs sweep.cluster")
