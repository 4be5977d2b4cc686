"""What plays games side by side: `pool.WorkerPool`, and whatever stands between it and a team."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from limae_jax.environments.workers.records import EpisodeRecord, Steps


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


class GamesBetween:
    """Games that are played through others, and hand everything on to them unless a subclass does otherwise."""

    def __init__(self, games: Games):
        self._games = games

    @property
    def crashes(self) -> int:
        """Failures of games so far."""
        return self._games.crashes

    @property
    def discarded(self) -> int:
        """Episodes that ended so."""
        return self._games.discarded

    def reset(self) -> Steps:
        """See `pool.WorkerPool.reset`."""
        return self._games.reset()

    def step(self, action: np.ndarray) -> Steps:
        """See `pool.WorkerPool.step`."""
        return self._games.step(action)

    def take_records(self) -> list[EpisodeRecord]:
        """See `pool.WorkerPool.take_records`."""
        return self._games.take_records()

    def close(self) -> None:
        """Closes the games."""
        self._games.close()
