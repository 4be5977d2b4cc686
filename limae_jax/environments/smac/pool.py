"""Games of StarCraft II side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from limae_jax.catalogue.smac_game import GameSettings
from limae_jax.environments.smac.records import Facts
from limae_jax.environments.workers.pool import WorkerPool
from limae_jax.environments.workers.records import Steps
from limae_jax.errors import GameError


class BattlePool(WorkerPool):
    """Games of SMAC, which can show their units and save replays; see `workers.pool.WorkerPool`."""

    def __init__(self, settings: GameSettings, num_workers: int, max_crashes: int = 5):
        """Starts the processes; see `workers.pool.WorkerPool`."""
        self._shows_units = settings.shows_units
        super().__init__(settings, num_workers, max_crashes)

    def save_replays(self, folder: Path | str) -> None:
        """Saves a replay of each worker's game since it was launched.

        Args:
            folder: for the files, named by map, worker and time; made if need be.

        Raises:
            GameError: a game could not save its replay. The others have; the pool plays on after a `reset`.
        """
        folder = Path(folder).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        failed = self.ask("save_replay", folder)
        if failed:
            raise GameError(f"no replay was saved of worker {', '.join(map(str, sorted(failed)))} in {folder}")

    def _see(self, is_first: np.ndarray, is_discarded: np.ndarray) -> Steps:
        steps = super()._see(is_first, is_discarded)
        return replace(steps, facts=Facts(**self.further())) if self._shows_units else steps
