"""Accumulates the metrics of the chunks between two evaluations."""

from __future__ import annotations

from typing import Any

import numpy as np

from limae_jax.training.loop import ChunkMetrics

# Prefix that marks means in the state, which checkpoints store.
_MEAN = "mean_"


class Meter:
    """Training metrics between two evaluations, for all seeds of a group. Checkpoints store its state.

    Attributes:
        last: per-seed metrics [S] of the newest chunk.
    """

    def __init__(self, env_steps: np.ndarray, state: dict[str, Any] | None = None):
        """Starts at the seeds' env_steps [S], or continues from `state`."""
        state = state or {"first": np.asarray(env_steps).tolist(), "seconds": 0.0, "sums": {}, "chunks": 0}
        self._first = np.asarray(state["first"], np.int64)
        self._now = np.asarray(env_steps, np.int64)
        self._seconds = float(state["seconds"])
        self._sums = {name: np.asarray(values, np.float64) for name, values in state["sums"].items()}
        self._chunks = int(state["chunks"])
        self.last: dict[str, np.ndarray] = {}

    @property
    def state(self) -> dict[str, Any]:
        """The state as JSON values, from which a new meter can continue."""
        sums = {name: values.tolist() for name, values in self._sums.items()}
        return {"first": self._first.tolist(), "seconds": self._seconds, "sums": sums, "chunks": self._chunks}

    def add(self, metrics: ChunkMetrics, env_steps: np.ndarray, seconds: float) -> None:
        """Adds a chunk: its metrics [S], the seeds' env_steps [S] after it, and its duration."""
        self._now = np.asarray(env_steps, np.int64)
        self._seconds += seconds
        latest: dict[str, Any] = {**metrics.latest, **metrics.means}
        means = {f"{_MEAN}{name}": values for name, values in metrics.means.items()}
        if set(means) != {name for name in self._sums if name.startswith(_MEAN)}:
            # Another phase reports other means: start them again.
            self._sums = {name: total for name, total in self._sums.items() if not name.startswith(_MEAN)}
            self._chunks = 0
        self._chunks += 1
        # Older values are dropped: they are not in the state, so a meter restored from a state would lack them.
        self.last = latest
        for name, value in (means | metrics.sums).items():
            self._sums[name] = self._sums.get(name, 0.0) + np.asarray(value, np.float64)

    @property
    def env_steps_per_s(self) -> float:
        """Environment steps of all seeds per second of training, without evaluation and compiling."""
        return float((self._now - self._first).sum() / self._seconds) if self._seconds else 0.0

    def per_seed(self, index: int) -> dict[str, float | int | None]:
        """Returns one seed's metrics: newest values, means over gradient steps, and the mean return of episodes."""
        row: dict[str, float | int | None] = {name: float(values[index]) for name, values in self.last.items()}
        means = {name.removeprefix(_MEAN): total for name, total in self._sums.items() if name.startswith(_MEAN)}
        row |= {name: float(total[index]) / self._chunks for name, total in means.items()}
        if "train_episodes" in self._sums:
            count = int(self._sums["train_episodes"][index])
            total = float(self._sums["train_return_sum"][index])
            row |= {"train_episodes": count, "train_return_mean": total / count if count else None}
        return row
