"""Pictures of final results: aggregates over all maps, env steps to a goal, comparison of masking rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from limae_jax.analysis.curves import ALL_MAPS
from limae_jax.analysis.pictures import (
    MOST_LINES,
    PANEL,
    Look,
    Panel,
    Picture,
    counted,
    draw_line,
    few_numbers,
    row_height,
    wrapped,
)
from limae_jax.analysis.runs import Cell
from limae_jax.analysis.statistics import WINDOW
from limae_jax.analysis.summary import GOALS, WIN, Outcomes, TableRow

_FLOOR = 0.75  # height in inches of a panel with rows, without the rows


def _rows_size(names: Sequence[str]) -> tuple[float, float]:
    return PANEL[0], max(1.6, _FLOOR + len(names) * row_height(names))


def _draw_intervals(
    axis: Axes, rows: Sequence[TableRow], name: str, look: Look, offset: float = 0.0, **more: Any
) -> None:
    """Draws a point with its interval for each row, top down."""
    for index, row in enumerate(rows):
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        spread = None if low is None else [[row[name] - low], [high - row[name]]]
        style = {**look.of(row["method"]), **more}
        axis.errorbar(row[name], index + offset, xerr=spread, capsize=3, linestyle="none", **style)


def _name_rows(axis: Axes, names: Sequence[str]) -> None:
    axis.set_yticks(range(len(names)), [wrapped(name) for name in names], fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)


def aggregate(outcomes: Outcomes, look: Look) -> Iterator[Picture]:
    """Final win rates, curves and performance profile over the maps that all methods share."""
    finals = outcomes.aggregate
    if not finals:
        return
    baseline, *others = finals
    best = sorted(others, key=lambda row: row["final_win_rate"], reverse=True)[: MOST_LINES - 1]
    lines = [row["method"] for row in finals if row is baseline or row in best]
    panels = [
        Panel("win rate in training", partial(_draw_aggregate_curves, outcomes, lines, look)),
        Panel("share of seeds above a final win rate", partial(_draw_profile, outcomes, lines, look)),
    ]
    if len(finals) <= MOST_LINES:
        panels.append(Panel("final win rate", partial(_draw_finals, finals, look)))
    maps = ", ".join(outcomes.shared_maps)
    caption = (
        f"Over the maps that all methods share ({maps}): interquartile means with 95 % stratified bootstrap, and the"
        " performance profile."
    )
    if len(lines) < len(finals):
        caption += f" Lines: {baseline['method']} and the {MOST_LINES - 1} best."
    yield Picture("aggregate", ALL_MAPS, caption, panels, dict.fromkeys(lines, ""))


def _draw_finals(finals: Sequence[TableRow], look: Look, axis: Axes) -> None:
    """Draws final win rates without names, which are in the legend."""
    _draw_intervals(axis, finals, "final_win_rate", look)
    axis.set(xlabel="final win rate", yticks=[], ylim=(len(finals) - 0.5, -0.5))
    axis.locator_params(axis="x", nbins=4)


def _draw_aggregate_curves(outcomes: Outcomes, methods: Sequence[str], look: Look, axis: Axes) -> None:
    for method in methods:
        rows = [row for row in outcomes.aggregate_curves if row["method"] == method]
        draw_line(axis, [100 * row["share"] for row in rows], rows, "iqm", **look.line(method))
    axis.set(xlabel="env steps (% of a seed's training)", ylabel="win rate", ylim=(-0.02, 1.02))


def _draw_profile(outcomes: Outcomes, methods: Sequence[str], look: Look, axis: Axes) -> None:
    for method in methods:
        rows = _corners([row for row in outcomes.profiles if row["method"] == method])
        draw_line(axis, [row["win_rate_above"] for row in rows], rows, "share_of_seeds", **look.line(method))
    axis.set(xlabel="final win rate τ", ylabel="share of seeds above τ", ylim=(-0.02, 1.02))


def _corners(rows: Sequence[TableRow]) -> list[TableRow]:
    """Returns the rows that differ from a neighbour; the others lie on straight lines between these."""
    shares = [[value for name, value in row.items() if name.startswith("share_of_seeds")] for row in rows]
    ends = (0, len(rows) - 1)
    return [row for i, row in enumerate(rows) if i in ends or shares[i] != shares[i - 1] or shares[i] != shares[i + 1]]


def steps_to_goals(outcomes: Outcomes, map_name: str, look: Look, file: str) -> Iterator[Picture]:
    """Env steps to each goal, a mark per seed; seeds that never reached the goal are set apart on the right."""
    cells = [cell for cell in outcomes.study.on(map_name) if cell.has(WIN)]
    if not cells:
        return
    size = _rows_size([cell.method for cell in cells])
    panels = [
        Panel(f"env steps to {goal:.0%} wins", partial(_draw_steps, outcomes, cells, goal, look), size)
        for goal in GOALS
    ]
    goals = ", ".join(f"{goal:.0%}" for goal in GOALS)
    caption = f"{map_name}: env steps at which each seed's last {WINDOW} evaluations first won {goals} of the battles."
    yield Picture(f"steps_{file}", map_name, caption, panels)


def _draw_steps(outcomes: Outcomes, cells: Sequence[Cell], goal: float, look: Look, axis: Axes) -> None:
    budget = cells[0].budget_env_steps / 1000
    for place, cell in enumerate(cells):
        steps = outcomes.of(cell, f"steps_to_{goal:.0%}") / 1000
        is_there = np.isfinite(steps)
        height = place + (np.linspace(-0.2, 0.2, len(steps)) if len(steps) > 1 else np.zeros(1))
        style = {"marker": look.of(cell.method)["marker"], "edgecolors": look.of(cell.method)["color"], "s": 26}
        axis.scatter(steps[is_there], height[is_there], facecolors=style["edgecolors"], zorder=3, **style)
        missed = height[~is_there]
        axis.scatter(np.full(len(missed), 1.2 * budget), missed, facecolors="none", zorder=3, **style)
    axis.axvline(1.06 * budget, color="grey", linewidth=0.8)
    axis.text(1.2 * budget, 1.01, "never", transform=axis.get_xaxis_transform(), ha="center", size=8)
    axis.set(xlim=(0, 1.34 * budget), xlabel="env steps (thousands)")
    few_numbers(axis)
    axis.set_xticks([tick for tick in axis.get_xticks() if tick <= budget])
    _name_rows(axis, [counted(cell.method, len(cell.seeds)) for cell in cells])


def masking_rules(outcomes: Outcomes, look: Look) -> Iterator[Picture]:
    """Compares the masking rules of each map, with the baseline as reference lines."""
    masked = {cell.method for cell in outcomes.study.cells if cell.masking}
    rules = [method for method in outcomes.study.methods if method in masked]
    rows = outcomes.methods_on_maps
    maps = list(dict.fromkeys(row["map"] for row in rows if row["method"] in rules))
    if len(rules) < 2 or not maps:
        return
    baseline = outcomes.study.methods[0]
    panels = []
    for map_name in maps:
        found = {row["method"]: row for row in rows if row["map"] == map_name}
        measure = found.get(baseline) if baseline not in rules else None
        here = [found[rule] for rule in rules if rule in found]
        draw = partial(_draw_rules, here, measure, look)
        panels.append(Panel(map_name, draw, _rows_size(rules)))
    said = "" if baseline in rules else f" Grey lines: {baseline}, final and (dotted) mean."
    caption = f"Masking rules: final win rate (filled) and its mean over the budget (white), 95 % t intervals.{said}"
    yield Picture("masking_rules", "Masking rules", caption, panels)


def _draw_rules(rows: Sequence[TableRow], measure: TableRow | None, look: Look, axis: Axes) -> None:
    _draw_intervals(axis, rows, "final_win_rate", look, -0.13)
    _draw_intervals(axis, rows, "mean_win_rate", look, 0.13, markerfacecolor="white")
    if measure:
        for name, style in (("final_win_rate", "-"), ("mean_win_rate", ":")):
            axis.axvline(measure[name], color="grey", linewidth=1, linestyle=style, zorder=0)
    _name_rows(axis, [counted(row["method"], row["seeds"]) for row in rows])
    axis.set(xlabel="win rate", xlim=(-0.03, 1.03))
