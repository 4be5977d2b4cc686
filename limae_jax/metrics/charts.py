"""Chart points of a run, for each seed and for the mean over all seeds; each point comes once, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from limae_jax.metrics.schema import Row, seed_scalars

# Environment steps -> value by tag, such as `test_win_rate/seed_0` or `test_win_rate/mean`.
Point = tuple[int, dict[str, float]]


class Charts:
    """Turns rows into points, for seeds that are trained at the same time or one after the other."""

    def __init__(self, seeds: Iterable[int]):
        """Makes charts without points.

        Args:
            seeds: seeds of the run.
        """
        self._seeds = set(seeds)
        self._newest: dict[int, int] = {}
        self._at: dict[int, dict[int, Row]] = {}

    def add(self, rows: Sequence[Row]) -> list[Point]:
        """Returns the new points in order: each at its seed's env_steps, then the mean once all seeds have a row."""
        points: list[Point] = []
        for row in rows:
            # The step count of a failed seed no longer grows.
            if row["env_steps"] > self._newest.get(row["seed"], -1):
                self._newest[row["seed"]] = row["env_steps"]
                points.append(seed_scalars([row]))
            together = self._at.setdefault(row["iteration"], {})
            together[row["seed"]] = row
            if len(self._seeds) > 1 and together.keys() == self._seeds:
                env_steps, scalars = seed_scalars(list(together.values()))
                points.append((env_steps, {tag: value for tag, value in scalars.items() if tag.endswith("/mean")}))
        return points
