"""Base classes of the environments' settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limae_jax.catalogue.worker_seeds import MAX_WORKERS
from limae_jax.checks import Section

# Upper bounds on environment copies, steps of an episode or a row, and ticks of a step: larger ones cannot be built.
MAX_ENVS, MAX_STEPS, MAX_TICKS = 1_000_000, 1_000_000, 10_000


@dataclass(frozen=True)
class EnvConfig(Section):
    """Settings that all environments share.

    Attributes:
        name: environment family, see `limae-jax list scenarios`.
        scenario: map or task within the family.
        reward_scale: default of `system.reward_scale`; on SMAX it scales the best return to about 20, as in SMAC.
    """

    section: ClassVar[str] = "env"
    reward_scale: ClassVar[float] = 10.0

    name: str = "smax"
    scenario: str = "3m"

    @property
    def num_envs(self) -> int:
        """Environment copies that one seed plays in parallel."""
        raise NotImplementedError

    @property
    def is_played_by_host(self) -> bool:
        """Whether the game runs in worker processes instead of inside the compiled program."""
        return False


@dataclass(frozen=True)
class CompiledConfig(EnvConfig):
    """Settings that environments written in JAX share.

    Attributes:
        num_envs: environment copies that one seed plays in parallel.
    """

    num_envs: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("num_envs")
        self._at_most(MAX_ENVS, "num_envs")


@dataclass(frozen=True)
class HostPlayedConfig(EnvConfig):
    """Settings that games in worker processes share.

    Attributes:
        workers: worker processes, each with one game.
        timeout_s: seconds without an answer after which a game counts as hung.
        max_crashes: consecutive crashes of one game after which the run stops.
    """

    reward_scale: ClassVar[float] = 1.0

    workers: int = 8
    timeout_s: float = 60.0
    max_crashes: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("workers", "timeout_s", "max_crashes")
        self._at_most(MAX_WORKERS, "workers")
        self._at_most(MAX_STEPS, "timeout_s")

    @property
    def num_envs(self) -> int:
        """Environment copies that one seed plays in parallel."""
        return self.workers

    @property
    def is_played_by_host(self) -> bool:
        """Whether the game runs in worker processes instead of inside the compiled program."""
        return True
