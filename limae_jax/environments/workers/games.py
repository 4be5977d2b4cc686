"""What plays games side by side: `pool.WorkerPool`, and whatever stands between it and a team."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from limae_jax.environments.workers.records import EpisodeRecord, Steps


class Games(Protocol):
    """Games side by side, see `pool.WorkerPool`."""

    @property
    def crashes(self) -> int:
        """Failures of games so far."""

    @property
    def discarded(self) -> int:
        """Episodes that ended so."""

    def reset(self) -> Steps:
        """Starts an episode in every game."""

    def step(self, action: np.ndarray) -> Steps:
        """Plays one joint action [W, A] in every game, or starts its next episode."""

    def take_records(self) -> list[EpisodeRecord]:
        """The episodes that finished since this was last called."""

    def close(self) -> None:
        """Ends the games; closing twice is fine."""


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
