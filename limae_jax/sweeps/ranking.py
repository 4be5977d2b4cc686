"""Ranks the runs and cells of a sweep by score."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar


class Scored(Protocol):
    """A run with the scores of its seeds."""

    @property
    def cell(self) -> str:
        """The name of its cell, without the seeds."""

    @property
    def scenario(self) -> str:
        """The scenario that it was trained on."""

    @property
    def scores(self) -> Mapping[int, float]:
        """Seed -> last win rate, or last return in games without a win."""


Run = TypeVar("Run", bound=Scored)


def score_text(scores: Sequence[float]) -> str:
    """Formats scores as `0.53 [0.41 to 0.66]`: the mean, and the range of several scores."""
    if not scores:
        return ""
    text = f"{statistics.fmean(scores):.2f}"
    return text if len(scores) == 1 else f"{text} [{min(scores):.2f} to {max(scores):.2f}]"


def by_score(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Returns the runs of each scenario, the best first; runs without a score come last."""
    return {
        scenario: sorted((run for run in runs if run.scenario == scenario), key=_loss)
        for scenario in dict.fromkeys(run.scenario for run in runs)
    }


def best_cells(runs: Sequence[Scored]) -> list[str]:
    """Returns a line for each scenario whose cells differ in score: `best: <cell>, 0.53 [0.41 to 0.66]`."""
    scenarios = by_score(runs)
    lines = []
    for scenario, own in scenarios.items():
        # A cell's seeds may be spread over several runs.
        cells: dict[str, list[float]] = {}
        for run in own:
            cells.setdefault(run.cell, []).extend(run.scores.values())
        means = {cell: statistics.fmean(scores) for cell, scores in cells.items() if scores}
        if len(means) > 1:
            best, *equal = (cell for cell, mean in means.items() if mean == max(means.values()))
            where = f" on {scenario}" if len(scenarios) > 1 else ""
            as_good = f"; equally good: {', '.join(equal)}" if equal else ""
            if len(equal) + 1 < len(means):
                lines.append(f"best{where}: {best}, {score_text(cells[best])}{as_good}")
    return lines


def _loss(run: Scored) -> float:
    return -statistics.fmean(run.scores.values()) if run.scores else float("inf")
