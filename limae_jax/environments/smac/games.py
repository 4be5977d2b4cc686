"""What plays StarCraft II side by side: `pool.WorkerPool`, and whatever stands between it and a team."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from limae_jax.environments.smac.records import EpisodeRecord, Steps


class Games(Protocol):
    """Games side by side, see `pool.WorkerPool`."""

    @property
    def crashes(self) -> int: ...

    @property
    def discarded(self) -> int: ...

    def reset(self) -> Steps: ...

    def step(self, action: np.ndarray) -> Steps: ...

    def take_records(self) -> list[EpisodeRecord]: ...

    def close(self) -> None: ...
