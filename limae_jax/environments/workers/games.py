"""The interface of parallel games, `pool.WorkerPool` and its wrappers."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from limae_jax.environments.workers.records import EpisodeRecord, Steps


class Games(Protocol):
    """Parallel games; see `pool.WorkerPool`."""

    @property
    def crashes(self) -> int:
        """Number of game failures so far."""

    @property
    def discarded(self) -> int:
        """Number of episodes discarded because of failures."""

    def reset(self) -> Steps:
        """Starts an episode in every game."""

    def step(self, action: np.ndarray) -> Steps:
        """Plays one joint action [W, A] in every game, or starts the next episode."""

    def take_records(self) -> list[EpisodeRecord]:
        """Returns the episodes that finished since the last call."""

    def close(self) -> None:
        """Ends the games. May be called repeatedly."""


class GamesBetween:
    """Wrapper of other games that forwards every call; subclasses override some."""

    def __init__(self, games: Games):
        self._games = games

    @property
    def crashes(self) -> int:
        """Number of game failures so far."""
        return self._games.crashes

    @property
    def discarded(self) -> int:
        """Number of episodes discarded because of failures."""
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
