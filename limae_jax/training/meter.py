"""Adds up what the chunks between two evaluations report."""

from __future__ import annotations

import numpy as np


class Meter:
    """Training between two evaluations, for all seeds of a group.

    Attributes:
        last: per-seed metrics [S] of the newest chunk.
    """

    def __init__(self, env_steps: np.ndarray):
        """Starts at the seeds' env_steps [S]."""
        self._first = np.asarray(env_steps, np.int64)
        self._now = self._first
        self._seconds = 0.0
        self._sums: dict[str, np.ndarray] = {}
        self.last: dict[str, np.ndarray] = {}

    def add(self, metrics: dict[str, np.ndarray], env_steps: np.ndarray, seconds: float) -> None:
        """Adds a chunk: its metrics [S], the seeds' env_steps [S] after it, and how long it ran."""
        self._now = np.asarray(env_steps, np.int64)
        self._seconds += seconds
        for name, value in metrics.items():
            if name.startswith("train_"):
                self._sums[name] = self._sums.get(name, 0) + value
            else:
                self.last[name] = value

    @property
    def env_steps_per_s(self) -> float:
        """Environment steps of all seeds together per second of training, evaluation and compiling left out."""
        return float((self._now - self._first).sum() / self._seconds) if self._seconds else 0.0

    def per_seed(self, index: int) -> dict[str, float | int | None]:
        """One seed's metrics: the newest values, and the mean return of the episodes that training finished."""
        row: dict[str, float | int | None] = {name: float(values[index]) for name, values in self.last.items()}
        if "train_episodes" in self._sums:
            count = int(self._sums["train_episodes"][index])
            total = float(self._sums["train_return_sum"][index])
            row |= {"train_episodes": count, "train_return_mean": total / count if count else None}
        return row
