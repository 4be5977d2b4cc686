"""Draws a battle: a picture for each step, the animation, and a sheet of some of the pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from PIL import Image

from limae_jax.analysis.battle import Battle
from limae_jax.environments.scenarios import UNIT_TYPES

_ALLY, _ENEMY, _BELIEF, _DEAD = "#0072B2", "#D55E00", "#009E73", "#999999"
_RADIUS = 0.5  # of a drawn unit, in SMAX's units of length
_BAR = 0.3  # height of a health bar
_MARGIN = 2.5
_FRAME_MS, _LAST_FRAME_MS = 250, 2000
_SHEET_COLUMNS, _SHEET_FRAMES = 3, 9


def draw_battle(battle: Battle, agent: int, title: str) -> list[Image.Image]:
    """A picture for each of the T + 1 entries of a battle.

    Args:
        battle: to draw.
        agent: the chosen one, whose sight and beliefs are shown.
        title: of every picture.
    """
    return [_frame(battle, step, agent, title) for step in range(len(battle.health))]


def save_animation(frames: Sequence[Image.Image], path: Path) -> None:
    """Writes a GIF that plays again and again, four steps a second."""
    # One palette for all, so that colours do not flicker; of pictures from begin to end, so that none is missing.
    palette = _sheet(frames).quantize(128)
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [_FRAME_MS] * (len(frames) - 1) + [_LAST_FRAME_MS]
    small[0].save(path, format="GIF", save_all=True, append_images=small[1:], duration=durations, loop=0)


def save_sheet(frames: Sequence[Image.Image], path: Path) -> None:
    """Writes some of the pictures, evenly spread and with the first and the last, on one PNG."""
    _sheet(frames).save(path, format="PNG")


def _sheet(frames: Sequence[Image.Image]) -> Image.Image:
    chosen = sheet_steps(len(frames))
    width, height = frames[0].size
    rows = math.ceil(len(chosen) / _SHEET_COLUMNS)
    sheet = Image.new("RGB", (width * min(len(chosen), _SHEET_COLUMNS), height * rows), "white")
    for place, step in enumerate(chosen):
        sheet.paste(frames[step], (place % _SHEET_COLUMNS * width, place // _SHEET_COLUMNS * height))
    return sheet


def sheet_steps(num_frames: int) -> list[int]:
    """Which pictures are on the sheet."""
    return sorted({round(x) for x in np.linspace(0, num_frames - 1, min(num_frames, _SHEET_FRAMES))})


def _frame(battle: Battle, step: int, agent: int, title: str) -> Image.Image:
    has_beliefs = battle.beliefs is not None
    figure = Figure(figsize=(7.6 if has_beliefs else 5.0, 5.0), dpi=100)
    canvas = FigureCanvasAgg(figure)
    ratios = [2.2, 1] if has_beliefs else [1]
    # Where everything is on the figure: to have it laid out anew for each picture takes longer than to draw it.
    place = {"left": 0.07, "right": 0.98, "top": 0.88, "bottom": 0.21, "wspace": 0.25}
    field, *others = figure.subplots(1, len(ratios), width_ratios=ratios, squeeze=False, gridspec_kw=place)[0]
    last = len(battle.health) - 1
    figure.suptitle(title, fontsize=10)
    field.set_title(f"step {step} of {last}" + (f": {battle.outcome}" if step == last else ""), fontsize=10)
    _draw_field(field, battle, step, agent)
    for axis in others:
        _draw_health(axis, battle, step, agent)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _draw_field(axis: Axes, battle: Battle, step: int, agent: int) -> None:
    position, health = battle.position[step], battle.health[step]
    for unit, target in enumerate(battle.target[step]):
        if target >= 0:
            colour = _ALLY if unit < battle.num_allies else _ENEMY
            axis.plot(*position[[unit, target]].T, color=colour, linewidth=1.6, alpha=0.75, zorder=2)
    for unit in range(len(health)):
        _draw_unit(axis, battle, step, unit, is_chosen=unit == agent)
    if health[agent] > 0:
        circle = Circle(position[agent], battle.sight[agent], fill=False, color=_ALLY, linestyle=":", linewidth=1)
        axis.add_patch(circle)
        _draw_beliefs(axis, battle, step)
    low, high = view(battle)
    axis.set(
        xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xlabel="x (map units)", ylabel="y (map units)"
    )
    axis.tick_params(labelsize=7)
    _explain(axis, battle, agent)


def _draw_unit(axis: Axes, battle: Battle, step: int, unit: int, is_chosen: bool) -> None:
    x, y = battle.position[step, unit]
    health = battle.health[step, unit]
    colour = _ALLY if unit < battle.num_allies else _ENEMY
    name = str(unit if unit < battle.num_allies else unit - battle.num_allies)
    if health <= 0:
        axis.plot(x, y, "x", color=_DEAD, markersize=6, zorder=1)
        return
    edge = {"edgecolor": "black", "linewidth": 2.2} if is_chosen else {"edgecolor": "white", "linewidth": 0.8}
    # The chosen one lies on top where units overlap.
    order: dict[str, Any] = {"zorder": 4 if is_chosen else 3}
    axis.add_patch(Circle((x, y), _RADIUS, facecolor=colour, **edge, **order))
    axis.text(x, y, name, color="white", ha="center", va="center_baseline", fontsize=8, clip_on=True, **order)
    left, top = x - _RADIUS, y + 1.35 * _RADIUS
    axis.add_patch(Rectangle((left, top), 2 * _RADIUS, _BAR, facecolor="#d5d5d5", **order))
    axis.add_patch(Rectangle((left, top), 2 * _RADIUS * health, _BAR, facecolor=colour, **order))


def _draw_beliefs(axis: Axes, battle: Battle, step: int) -> None:
    """Where the chosen agent believes its living team-mates to be, tied to where they are."""
    if battle.beliefs is None or battle.beliefs.position is None:
        return
    for mate, believed in zip(battle.beliefs.mates, battle.beliefs.position[step], strict=True):
        if battle.health[step, mate] > 0:
            axis.plot(*np.stack([battle.position[step, mate], believed]).T, ":", color=_BELIEF, linewidth=1.2, zorder=5)
            axis.add_patch(Circle(believed, _RADIUS, fill=False, edgecolor=_BELIEF, linewidth=2, zorder=5))
            axis.text(
                believed[0],
                believed[1],
                str(mate),
                color=_BELIEF,
                ha="center",
                va="center_baseline",
                fontsize=8,
                zorder=6,
            )


def _draw_health(axis: Axes, battle: Battle, step: int, agent: int) -> None:
    """The health of each team-mate beside what the chosen agent believes of it."""
    beliefs = battle.beliefs
    if beliefs is None:
        return
    place = np.arange(len(beliefs.mates))
    knows = battle.health[step, agent] > 0
    axis.barh(place - 0.18, battle.health[step, beliefs.mates], 0.32, color=_ALLY)
    is_alive = battle.health[step, beliefs.mates] > 0
    believed = np.where(is_alive & knows, beliefs.health[step], 0.0)
    axis.barh(place + 0.18, believed, 0.32, facecolor="none", edgecolor=_BELIEF, linewidth=1.6)
    axis.set(xlim=(0, 1.02), ylim=(len(place) - 0.5, -0.5), xlabel="share of health")
    mates = zip(beliefs.mates, is_alive, strict=True)
    axis.set_yticks(place, [f"ally {mate}" if alive else f"ally {mate}\nfallen" for mate, alive in mates])
    axis.tick_params(labelsize=8)
    axis.set_title("true and believed" if knows else f"agent {agent} is dead", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)


def _explain(axis: Axes, battle: Battle, agent: int) -> None:
    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 8}
    kinds = {team: sorted({UNIT_TYPES[kind] for kind in types}) for team, types in _teams(battle).items()}
    handles = [
        Line2D([], [], color=_ALLY, label=f"allies ({', '.join(kinds['allies'])})", **dot),
        Line2D([], [], color=_ENEMY, label=f"enemies ({', '.join(kinds['enemies'])})", **dot),
        Line2D([], [], color=_ALLY, linestyle=":", label=f"sight of agent {agent}"),
        Line2D([], [], color="#555555", label="shot"),
        Line2D([], [], color=_DEAD, marker="x", linestyle="none", label="fallen"),
    ]
    if battle.beliefs is not None and battle.beliefs.position is not None:
        label = f"where agent {agent} believes an ally to be"
        handles.append(Line2D([], [], color=_BELIEF, markerfacecolor="none", label=label, **dot))
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12), "ncols": 2}
    axis.legend(handles=handles, fontsize=7, frameon=False, **place)


def _teams(battle: Battle) -> dict[str, np.ndarray]:
    return {"allies": battle.unit_type[: battle.num_allies], "enemies": battle.unit_type[battle.num_allies :]}


def view(battle: Battle) -> tuple[np.ndarray, np.ndarray]:
    """The corners [2] of a square that holds everything at every step."""
    points = battle.position.reshape(-1, 2)
    if battle.beliefs is not None and battle.beliefs.position is not None:
        is_shown = battle.health[:, battle.beliefs.mates] > 0
        points = np.concatenate([points, battle.beliefs.position[is_shown]])
    low, high = points.min(axis=0) - _MARGIN, points.max(axis=0) + _MARGIN
    middle, half = (low + high) / 2, np.max(high - low) / 2
    return middle - half, middle + half
