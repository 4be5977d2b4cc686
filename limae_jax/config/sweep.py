"""Settings of a sweep; they are not part of a run's settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from limae_jax.checks import Section


@dataclass(frozen=True)
class SweepConfig(Section):
    """Settings of a sweep: a grid of runs, its cells.

    Attributes:
        dir: directory of the cells' run directories; null is `runs/<experiment>`, or `runs/sweep` without experiment.
        axes: lists of choices; the grid has every combination. A choice is one override or several separated by
            spaces, such as `system=ma2e masking=random_matched`. Comma lists on the command line are further axes.
        cluster: `none` trains in this process; `slurm` submits the cells of each compiled program as a job (extra
            `cluster`), `local` starts all jobs on this machine at once.
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
