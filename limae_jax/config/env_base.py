"""What the settings of all environments share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limae_jax.catalogue.worker_seeds import MAX_WORKERS
from limae_jax.checks import Section

# Copies of a game, steps of an episode or a row, and ticks of a step, that still make sense and can be built.
MAX_ENVS, MAX_STEPS, MAX_TICKS = 1_000_000, 1_000_000, 10_000


@dataclass(frozen=True)
class EnvConfig(Section):
    """What all environments share.

    Attributes:
        name: environment family, see `limae-jax list scenarios`.
        scenario: map or task within the family.
        reward_scale: what `system.reward_scale` is unless it is set; SMAX's brings the best return to about 20, SMAC's.
    """

    section: ClassVar[str] = "env"
    reward_scale: ClassVar[float] = 10.0

    name: str = "smax"
    scenario: str = "3m"

    @property
    def num_envs(self) -> int:
        """Copies that one seed plays at the same time."""
        raise NotImplementedError

    @property
    def is_played_by_host(self) -> bool:
        """Whether the game runs in processes of its own, and not inside the compiled program."""
        return False


@dataclass(frozen=True)
class CompiledConfig(EnvConfig):
    """What environments written in JAX share.

    Attributes:
        num_envs: copies that one seed plays at the same time.
    """

    num_envs: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("num_envs")
        self._at_most(MAX_ENVS, "num_envs")


@dataclass(frozen=True)
class HostPlayedConfig(EnvConfig):
    """What games in processes of their own share.

    Attributes:
        workers: games at the same time.
        timeout_s: seconds without an answer after which a game counts as hung.
        max_crashes: crashes of one game in a row after which the run gives up.
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
        """Copies that one seed plays at the same time."""
        return self.workers

    @property
    def is_played_by_host(self) -> bool:
        """Whether the game runs in processes of its own, and not inside the compiled program."""
        return True
