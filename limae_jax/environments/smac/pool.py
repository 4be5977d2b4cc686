"""A pool of StarCraft II games."""

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
    """A pool of SMAC games, which can show their units and save replays; see `workers.pool.WorkerPool`."""

    def __init__(self, settings: GameSettings, num_workers: int, max_crashes: int = 5):
        """Starts the processes; see `workers.pool.WorkerPool`."""
        self._shows_units = settings.shows_units
        super().__init__(settings, num_workers, max_crashes)

    def save_replays(self, folder: Path | str) -> None:
        """Saves a replay of each worker's game since its launch.

        Args:
            folder: folder for the files, named by map, worker and time; created if missing.

        Raises:
            GameError: a game could not save its replay. The others did; the pool then needs a `reset`.
        """
        folder = Path(folder).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        failed = self.ask("save_replay", folder)
        if failed:
            raise GameError(f"no replay of worker {', '.join(map(str, sorted(failed)))} was saved in {folder}")

    def _see(self, is_first: np.ndarray, is_discarded: np.ndarray) -> Steps:
        steps = super()._see(is_first, is_discarded)
        return replace(steps, facts=Facts(**self.further())) if self._shows_units else steps
