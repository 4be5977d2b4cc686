"""Results of a study as rows of plain tables; `plots` draws them, `tables` formats them."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from limae_jax.analysis import statistics as st
from limae_jax.analysis.runs import Cell, SeedCurve, Study

WIN = "test_win_rate"
GOALS = (0.5, 0.8, 0.9)
# Field of a row of metrics.jsonl -> description of its curve, with its unit.
CURVES = {
    WIN: "win rate",
    "test_return_mean": "return",
    "test_ally_deaths_mean": "own units lost",
    "test_enemy_deaths_mean": "enemy units killed",
    "test_length_mean": "episode length (env steps)",
    "test_r2": "R² of the guesses about team-mates",
}
# What methods are compared by: the end of training, and the area under the win-rate curve over the budget.
PRIMARY = ("final_win_rate", "mean_win_rate")
_PROFILE_THRESHOLDS = np.linspace(0.0, 1.0, 101)
_SHARES = np.linspace(0.0, 1.0, 41)
_HIDDEN = "mae/hidden_"
CENSORED = "censored"

TableRow = dict[str, Any]


def short_metric(metric: str) -> str:
    """Shortens a metric's name, as in `test_return_mean` -> `return`."""
    return metric.removeprefix("test_").removesuffix("_mean")


def _bounds(name: str, estimate: st.Estimate) -> TableRow:
    value, low, high = (_known(float(bound)) for bound in estimate)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _key(cell: Cell) -> TableRow:
    return {"map": cell.map, "method": cell.method, "seeds": len(cell.seeds)}


def curve_rows(cell: Cell, metric: str) -> list[TableRow]:
    """Returns a cell's learning curve: mean over its seeds with a band, at common env steps."""
    scored = [seed.env_steps[np.isfinite(seed.metric(metric))] for seed in cell.seeds]
    grid = st.common_grid(max(steps[0] for steps in scored), cell.every_time_steps, max(steps[-1] for steps in scored))
    curves = np.stack([st.at(seed.env_steps, seed.metric(metric), grid) for seed in cell.seeds])
    estimate = st.mean_estimate(curves)
    if metric == WIN:
        estimate = estimate.within(0, 1)
    return [
        {**_key(cell), "metric": metric, "env_steps": int(steps), **_bounds("mean", st.Estimate(*point))}
        for steps, *point in zip(grid, *estimate, strict=True)
    ]


def _scored(seed: SeedCurve) -> np.ndarray:
    """Returns the env steps of the evaluations that have a win rate."""
    return seed.env_steps[np.isfinite(seed.metric(WIN))]


def _over_shares(seed: SeedCurve) -> np.ndarray:
    """Returns a seed's win rate at the _SHARES of its training, which ends with its last evaluation."""
    return st.at(seed.env_steps, seed.metric(WIN), _SHARES * _scored(seed)[-1])


def seed_row(cell: Cell, seed: SeedCurve) -> TableRow:
    """Returns the results of one seed; `steps_to_...` and `seconds_to_...` are infinite for goals never reached."""
    row: TableRow = {"map": cell.map, "method": cell.method, "seed": seed.seed, "run": str(seed.run_dir)}
    for metric in CURVES:
        if cell.has(metric):
            curve = seed.metric(metric)
            row[f"final_{short_metric(metric)}"] = st.final_score(curve[np.isfinite(curve)])
    if cell.has(WIN):
        scored, budget = np.isfinite(seed.metric(WIN)), cell.budget_env_steps
        steps, wins, seconds = (of[scored] for of in (seed.env_steps, seed.metric(WIN), seed.metric("wall_s")))
        row |= {
            "best_window_win_rate": float(np.max(st.window_means(wins))),
            "late_drop": st.late_drop(wins),
            "mean_win_rate": st.mean_until(steps, wins, budget),
        }
        # Wall time of the seed's group since it started.
        for name, passed in (("steps", steps), ("seconds", seconds)):
            row |= {f"{name}_to_{goal:.0%}": st.reached_at(passed, wins, goal) for goal in GOALS}
    return row


class Outcomes:
    """The results of all seeds, and the statistics computed from them.

    Attributes:
        study: with all cells.
        seeds: rows of `seed_row`.
    """

    def __init__(self, study: Study):
        self.study = study
        self.seeds = [seed_row(cell, seed) for cell in study.cells for seed in cell.seeds]
        self._won = [cell for cell in study.cells if cell.has(WIN)]
        self._curves: dict[tuple[str, str, str], list[TableRow]] = {}

    def curve(self, cell: Cell, metric: str) -> list[TableRow]:
        """Returns `curve_rows`, computed once."""
        key = (cell.map, cell.method, metric)
        if key not in self._curves:
            self._curves[key] = curve_rows(cell, metric)
        return self._curves[key]

    def hidden(self, cell: Cell) -> list[TableRow]:
        """Returns curves of how often each agent was hidden in training; empty without a masking rule."""
        metrics = itertools.takewhile(cell.has, (f"{_HIDDEN}{agent}" for agent in itertools.count()))
        return [{**row, "agent": agent} for agent, metric in enumerate(metrics) for row in self.curve(cell, metric)]

    def of(self, cell: Cell, name: str) -> np.ndarray:
        """Returns [N] the column `name` for the seeds of a cell."""
        mine = [row for row in self.seeds if (row["map"], row["method"]) == (cell.map, cell.method)]
        return np.array([row[name] for row in mine], float)

    @functools.cached_property
    def methods_on_maps(self) -> list[TableRow]:
        """A row for each cell with win rates: means over the seeds, and how many of them reached each goal."""
        rows = []
        for cell in self._won:
            row = _key(cell)
            for name in ("final_win_rate", "best_window_win_rate", "mean_win_rate", "late_drop"):
                row |= _bounds(name, st.mean_estimate(self.of(cell, name)).within(0, 1))
            for goal in GOALS:
                row[f"reached_{goal:.0%}"] = int(np.isfinite(self.of(cell, f"steps_to_{goal:.0%}")).sum())
                for passed in ("steps", "seconds"):
                    name = f"{passed}_to_{goal:.0%}"
                    row[f"median_{name}"] = float(np.median(self.of(cell, name)))
            rows.append(row)
        return rows

    @functools.cached_property
    def returns(self) -> list[TableRow]:
        """A row for each cell of a game without wins: mean over the seeds of the final return."""
        cells = [cell for cell in self.study.cells if not cell.has(WIN) and cell.has("test_return_mean")]
        return [{**_key(cell), **_bounds("return", st.mean_estimate(self.of(cell, "final_return")))} for cell in cells]

    @functools.cached_property
    def comparisons(self) -> list[TableRow]:
        """A row for each map and pair of methods; the baseline is the earlier of the two."""
        rows = []
        for map_name in self.study.maps:
            cells = [cell for cell in self.study.on(map_name) if cell in self._won]
            for baseline, cell in itertools.combinations(cells, 2):
                row: TableRow = {"map": map_name, "method": cell.method, "baseline": baseline.method}
                for name in PRIMARY:
                    scores = self.of(cell, name), self.of(baseline, name)
                    row |= _bounds(f"{name}_difference", st.mean_difference(*scores))
                    row[f"{name}_p"] = _known(st.permutation_p(*scores))
                finals = (self.of(one, "final_win_rate") for one in (cell, baseline))
                row["probability_of_improvement"] = float(st.share_won(*finals))
                for goal in GOALS:
                    row |= self._speed_up(cell, baseline, goal)
                rows.append(row)
        return rows

    def _speed_up(self, cell: Cell, baseline: Cell, goal: float) -> TableRow:
        name = f"steps_to_{goal:.0%}"
        ours, theirs = self.of(cell, name), self.of(baseline, name)
        found = st.speed_up(ours, theirs, cell.budget_env_steps)
        title = f"speed_up_to_{goal:.0%}"
        bound = {(False, False): "", (True, False): "at least", (False, True): "at most", (True, True): CENSORED}
        return {**_bounds(title, found.ratio), f"{title}_is": bound[found.is_at_least, found.is_at_most]}

    @functools.cached_property
    def shared_maps(self) -> list[str]:
        """Maps with win rates on which every method was run; empty if there is only one, which needs no averaging."""
        everyone = set(self.study.methods)
        maps = [name for name in self.study.maps if {cell.method for cell in self._won if cell.map == name} == everyone]
        return maps if len(maps) > 1 else []

    def _strata(self, method: str, name: str) -> list[np.ndarray]:
        shared = self.shared_maps
        return [self.of(cell, name) for cell in self._won if cell.method == method and cell.map in shared]

    @functools.cached_property
    def aggregate(self) -> list[TableRow]:
        """A row for each method over the maps that all of them share; empty if there are none."""
        maps, rows = self.shared_maps, []
        baseline = self.study.methods[0]
        for method in self.study.methods if maps else ():
            finals = self._strata(method, "final_win_rate")
            row = {"method": method, "maps": len(maps), "seeds": sum(map(len, finals))}
            for name in PRIMARY:
                row |= _bounds(name, st.iqm_estimate(self._strata(method, name)))
            better = st.probability_of_improvement(finals, self._strata(baseline, "final_win_rate"))
            title = "probability_of_improvement"
            row |= _bounds(title, better) if method != baseline else dict.fromkeys((title, *_tails(title)))
            rows.append({**row, "baseline": baseline})
        return rows

    @functools.cached_property
    def aggregate_curves(self) -> list[TableRow]:
        """Win rate over the shared maps, by share of each seed's training."""
        rows = []
        for method in self.study.methods if self.shared_maps else ():
            cells = [cell for cell in self._won if cell.method == method and cell.map in self.shared_maps]
            strata = [np.stack([_over_shares(seed) for seed in cell.seeds]) for cell in cells]
            first = max(scored[0] / scored[-1] for cell in cells for scored in map(_scored, cell.seeds))
            estimate = st.iqm_estimate(strata)
            for share, *point in zip(_SHARES, *estimate, strict=True):
                key = {"method": method, "maps": len(cells), "seeds": sum(map(len, strata)), "share": float(share)}
                rows += [{**key, **_bounds("iqm", st.Estimate(*point))}] if share >= first else []
        return rows

    @functools.cached_property
    def profiles(self) -> list[TableRow]:
        """Share of seeds above each final win rate, over the shared maps."""
        rows = []
        for method in self.study.methods if self.shared_maps else ():
            estimate = st.performance_profile(self._strata(method, "final_win_rate"), _PROFILE_THRESHOLDS)
            for threshold, *point in zip(_PROFILE_THRESHOLDS, *estimate, strict=True):
                row = {"method": method, "win_rate_above": round(float(threshold), 2)}
                rows.append({**row, **_bounds("share_of_seeds", st.Estimate(*point))})
        return rows


def _tails(name: str) -> Sequence[str]:
    return f"{name}_low", f"{name}_high"
