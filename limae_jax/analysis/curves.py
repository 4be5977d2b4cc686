"""Pictures of learning curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from limae_jax.analysis.pictures import (
    COLOURS,
    MOST_LINES,
    Look,
    Panel,
    Picture,
    agent_look,
    draw_line,
    few_numbers,
)
from limae_jax.analysis.runs import Cell
from limae_jax.analysis.summary import CURVES, WIN, Outcomes, TableRow

# Panels with win rates per map; further methods are in the tables only.
_MOST_GROUPS = 3
# Longer curves show every second, third, ... evaluation, counted from the last.
_MOST_POINTS = 80
_BAND = "mean over the seeds, band 95 % t interval"
ALL_MAPS = "All maps"


def thinned(rows: Sequence[TableRow]) -> Sequence[TableRow]:
    """Returns every k-th row, at most _MOST_POINTS, always with the last one."""
    every = -(-len(rows) // _MOST_POINTS)
    return rows[::-1][::every][::-1]


def groups_of(outcomes: Outcomes, cells: Sequence[Cell]) -> list[list[Cell]]:
    """Splits the cells of a map into panels of at most MOST_LINES, the best by mean score first.

    Up to MOST_LINES cells keep their order. The first cell, the baseline, is in every panel.
    """
    if len(cells) <= MOST_LINES:
        return [list(cells)]

    def score(cell: Cell) -> float:
        name = "mean_win_rate" if cell.has(WIN) else "final_return"
        return float(np.mean(outcomes.of(cell, name)))

    baseline, others = cells[0], sorted(cells[1:], key=score, reverse=True)
    size = MOST_LINES - 1
    starts = range(0, min(len(others), size * _MOST_GROUPS), size)
    return [[baseline, *others[start : start + size]] for start in starts]


def map_curves(outcomes: Outcomes, map_name: str, look: Look, file: str) -> Picture:
    """Learning curves of a map, by metric."""
    cells = outcomes.study.on(map_name)
    groups = groups_of(outcomes, cells)
    shown = [metric for metric in CURVES if any(cell.has(metric) for cell in cells)]
    panels = []
    for metric in shown:
        for number, group in enumerate(groups if metric == shown[0] else groups[:1]):
            having = [cell for cell in group if cell.has(metric)]
            title = CURVES[metric]
            if len(groups) > 1 and metric == shown[0]:
                first = number * (MOST_LINES - 1) + 1
                last = first + len(group) - 2
                title += f", method {first}" if first == last else f", methods {first} to {last}"
            if having:
                panels.append(Panel(title, partial(_draw_curves, outcomes, having, metric, look)))
    drawn = list(dict.fromkeys(cell for group in groups for cell in group))
    caption = f"{map_name}: greedy evaluation over {cells[0].num_episodes} episodes a seed; {_BAND}."
    if len(groups) > 1:
        caption += (
            f" Each panel has {cells[0].method} and {MOST_LINES - 1} more, best first by {CURVES[shown[0]]} over the"
            " whole budget"
        )
        left_out = f"; {len(drawn)} of {len(cells)} methods are shown" if len(drawn) < len(cells) else ""
        caption += f"{left_out}. The other curves show the methods of the first of these panels; all are in curves.csv."
    legend = {cell.method: f"(n = {len(cell.seeds)})" for cell in drawn}
    return Picture(f"curves_{file}", map_name, caption, panels, legend)


def _draw_curves(outcomes: Outcomes, cells: Sequence[Cell], metric: str, look: Look, axis: Axes) -> None:
    for cell in cells:
        rows = thinned(outcomes.curve(cell, metric))
        draw_line(axis, [row["env_steps"] / 1000 for row in rows], rows, "mean", **look.line(cell.method))
    axis.set(xlabel="env steps (thousands)", ylabel=CURVES[metric], xlim=(0, None))
    if metric == "test_r2":
        # R² has no lower bound; the values are in curves.csv.
        axis.set_ylim(-1.05, 1.05)
    if metric == WIN:
        axis.set_ylim(-0.02, 1.02)
    few_numbers(axis)


def overview(outcomes: Outcomes, look: Look) -> Iterator[Picture]:
    """Win rates of all maps side by side."""
    groups = {}
    for map_name in outcomes.study.maps:
        if cells := [cell for cell in outcomes.study.on(map_name) if cell.has(WIN)]:
            groups[map_name] = groups_of(outcomes, cells)
    if not groups:
        return
    panels = [
        Panel(map_name, partial(_draw_curves, outcomes, shown[0], WIN, look)) for map_name, shown in groups.items()
    ]
    caption = f"Win rate of greedy evaluations on each map; {_BAND}."
    if any(len(shown) > 1 for shown in groups.values()):
        caption += f" With more than {MOST_LINES} methods, the first and the {MOST_LINES - 1} best are shown."
    drawn = {cell.method for shown in groups.values() for cell in shown[0]}
    legend = {method: "" for method in outcomes.study.methods if method in drawn}
    yield Picture("win_rates", ALL_MAPS, caption, panels, legend)


def hidden(outcomes: Outcomes, map_name: str, file: str) -> Iterator[Picture]:
    """How often each agent was hidden, with a panel for each method that hides agents."""
    cells = [(cell, rows) for cell in outcomes.study.on(map_name) if (rows := outcomes.hidden(cell))]
    if not cells:
        return
    panels = [Panel(f"{cell.method} (n = {len(cell.seeds)})", partial(_draw_hidden, rows)) for cell, rows in cells]
    caption = f"{map_name}: how often each agent was hidden from the auto-encoder, mean over the seeds."
    if max(rows[-1]["agent"] for _, rows in cells) >= MOST_LINES:
        caption += f" With more than {MOST_LINES} agents: the mean, and a band from the least to the most often hidden."
    yield Picture(f"hidden_{file}", map_name, caption, panels)


def _draw_hidden(rows: Sequence[TableRow], axis: Axes) -> None:
    agents = rows[-1]["agent"] + 1
    lines = [thinned([row for row in rows if row["agent"] == agent]) for agent in range(agents)]
    steps = [row["env_steps"] / 1000 for row in lines[0]]
    shares = np.array([[row["mean"] for row in line] for line in lines])
    if agents <= MOST_LINES:
        for agent, share in enumerate(shares):
            axis.plot(steps, share, label=f"agent {agent}", markevery=0.2, **agent_look(agent))
    else:
        axis.plot(steps, shares.mean(axis=0), color=COLOURS[0], label="mean of the agents")
        axis.fill_between(steps, shares.min(axis=0), shares.max(axis=0), color=COLOURS[0], alpha=0.15, linewidth=0)
    axis.set(xlabel="env steps (thousands)", ylabel="share of time hidden", xlim=(0, None), ylim=(-0.02, 1.02))
    few_numbers(axis)
    axis.legend(fontsize="x-small", ncols=2)
