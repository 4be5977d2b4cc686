"""Pictures of a battle: an animation with one frame per step, and a sheet of some frames."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from limae_jax.analysis.battle import Battle
from limae_jax.analysis.field import ALLY, BELIEF, ENEMY, INK, SHOT, View, draw_field, unit_name, view_of
from limae_jax.catalogue.scenarios import UNIT_TYPES
from limae_jax.checks import shorten

_DPI = 100
_FIELD, _CHART = 7.2, 1.3  # width in inches of the field, and of the chart beside it
_CHART_ROW = 0.4  # height in inches of a team-mate in the chart, if there is room
_HEADER, _CAPTION, _LEGEND_ROW, _LEGEND_COLUMNS = 0.36, 0.3, 0.24, 4
_FRAME_MS, _LAST_FRAME_MS = 350, 2500
_COLOURS = 96
# Small enough for the top of a page; longer battles are scaled down, then shown with fewer frames (scale, every).
MAX_GIF_BYTES = 1_000_000
_SMALLER = ((1.0, 1), (0.75, 1), (0.6, 1), (0.5, 2), (0.5, 4))
_SHEET_COLUMNS, _SHEET_FRAMES = 3, 9
_OUTCOMES = {"won": ("won", "#006b4a"), "lost": ("lost", "#b03a00"), "time limit": ("not decided in time", INK)}


@dataclass(frozen=True)
class Film:
    """The pictures of a battle, with a common header and legend.

    Attributes:
        header: title and outcome.
        steps: T + 1 pictures of one size, each with a line that names the step.
        legend: of colours and marks.
    """

    header: Image.Image
    steps: list[Image.Image]
    legend: Image.Image


def draw_battle(battle: Battle, agent: int, title: str) -> Film:
    """Draws all T + 1 entries of a battle.

    Args:
        battle: to draw.
        agent: whose sight and beliefs are shown.
        title: one line.
    """
    view = view_of(battle)
    steps = [_step(battle, step, agent, view) for step in range(len(battle.health))]
    return Film(_header(battle, title), steps, _legend(battle, agent))


def save_animation(film: Film, path: Path) -> None:
    """Writes a looping GIF of at most MAX_GIF_BYTES, if the smallest scale allows."""
    frames = [_stack([film.header, step, film.legend]) for step in film.steps]
    for scale, every in _SMALLER:
        content = _gif(frames, scale, every)
        if len(content) <= MAX_GIF_BYTES:
            break
    path.write_bytes(content)


def _gif(frames: Sequence[Image.Image], scale: float, every: int) -> bytes:
    """Encodes every `every`-th picture and the last one, scaled, as a GIF."""
    shown = [*frames[:-1:every], frames[-1]]
    size = (round(frames[0].width * scale), round(frames[0].height * scale))
    if scale != 1.0:
        shown = [frame.resize(size, Image.Resampling.LANCZOS) for frame in shown]
    # One palette for all, so that colours do not flicker; from pictures of the whole battle, so that none is missing.
    palette = _grid([shown[index] for index in sheet_steps(len(shown))]).quantize(
        _COLOURS, method=Image.Quantize.MAXCOVERAGE
    )
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in shown]
    durations = [_FRAME_MS] * (len(small) - 1) + [_LAST_FRAME_MS]
    file = io.BytesIO()
    small[0].save(file, format="GIF", save_all=True, append_images=small[1:], duration=durations, loop=0, optimize=True)
    return file.getvalue()


def save_sheet(film: Film, path: Path) -> None:
    """Writes evenly spaced pictures, the first and last included, as one PNG with a common legend."""
    grid = _grid([film.steps[step] for step in sheet_steps(len(film.steps))])
    _stack([film.header, grid, film.legend]).save(path, format="PNG", optimize=True)


def _grid(pictures: Sequence[Image.Image]) -> Image.Image:
    columns = min(len(pictures), _SHEET_COLUMNS)
    width, height = pictures[0].size
    grid = Image.new("RGB", (width * columns, height * math.ceil(len(pictures) / columns)), "white")
    for place, picture in enumerate(pictures):
        grid.paste(picture, (place % columns * width, place // columns * height))
    return grid


def _stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Stacks pictures vertically, aligned on the left."""
    width = max(picture.width for picture in pictures)
    stack = Image.new("RGB", (width, sum(picture.height for picture in pictures)), "white")
    top = 0
    for picture in pictures:
        stack.paste(picture, (0, top))
        top += picture.height
    return stack


def sheet_steps(num_frames: int) -> list[int]:
    """Returns the indices of the pictures on the sheet."""
    return sorted({round(x) for x in np.linspace(0, num_frames - 1, min(num_frames, _SHEET_FRAMES))})


def _width(battle: Battle) -> float:
    return _FIELD + (_CHART if battle.beliefs is not None else 0.0)


def _picture(figure: Figure) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _step(battle: Battle, step: int, agent: int, view: View) -> Image.Image:
    width, tall = _width(battle), _FIELD * view.aspect
    height = _CAPTION + tall
    figure = Figure(figsize=(width, height), dpi=_DPI)
    draw_field(_axis(figure, 0.05, 0.04, _FIELD - 0.1, tall - 0.08), battle, step, agent, view)
    if battle.beliefs is not None:
        rows = min(tall - 0.62, _CHART_ROW * len(battle.beliefs.mates))
        _draw_health(_axis(figure, _FIELD + 0.32, tall - 0.32 - rows, _CHART - 0.42, rows), battle, step, agent)
    middle, last = 1 - _CAPTION / 2 / height, len(battle.health) - 1
    alive = battle.health[step] > 0
    allies, enemies = alive[: battle.num_allies], alive[battle.num_allies :]
    left = f"allies {allies.sum()} of {len(allies)}    enemies {enemies.sum()} of {len(enemies)}"
    figure.text(0.07 / width, middle, left, fontsize=11, va="center", color=INK)
    name, colour = _OUTCOMES[battle.outcome] if step == last else ("", INK)
    right = f"step {step} of {last}" + (f": {name}" if name else "")
    style: dict[str, Any] = {"fontweight": "bold" if name else "normal", "ha": "right", "va": "center"}
    figure.text((_FIELD - 0.05) / width, middle, right, fontsize=11, color=colour, **style)
    return _picture(figure)


def _axis(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Adds an axis at a position in inches."""
    whole = figure.get_size_inches()
    return figure.add_axes((left / whole[0], bottom / whole[1], width / whole[0], height / whole[1]))


def _header(battle: Battle, title: str) -> Image.Image:
    """Draws the outcome and the title, which is shortened to fit."""
    width = _width(battle)
    figure = Figure(figsize=(width, _HEADER), dpi=_DPI)
    name, colour = _OUTCOMES[battle.outcome]
    style: dict[str, Any] = {"fontsize": 12, "va": "center", "fontweight": "bold"}
    badge = figure.text(0.13 / width, 0.45, name, color="white", **style)
    badge.set_bbox({"boxstyle": "round,pad=0.25", "facecolor": colour, "edgecolor": "none"})
    end = badge.get_window_extent(FigureCanvasAgg(figure).get_renderer()).x1 / _DPI
    room = int((width - end - 0.3) / 0.1)
    figure.text((end + 0.15) / width, 0.45, shorten(title, room), color=INK, **style)
    return _picture(figure)


def _legend(battle: Battle, agent: int) -> Image.Image:
    handles = _handles(battle, agent)
    rows = math.ceil(len(handles) / _LEGEND_COLUMNS)
    figure = Figure(figsize=(_width(battle), 0.1 + _LEGEND_ROW * rows), dpi=_DPI)
    columns = min(_LEGEND_COLUMNS, len(handles))
    figure.legend(
        handles=handles, fontsize=9.5, frameon=False, loc="center", ncols=columns, handlelength=1.4, columnspacing=1.2
    )
    return _picture(figure)


def _handles(battle: Battle, agent: int) -> list[Any]:
    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 9}
    teams = (battle.unit_type[: battle.num_allies], battle.unit_type[battle.num_allies :])
    allies, enemies = (", ".join(UNIT_TYPES[kind] for kind in sorted(set(team.tolist()))) for team in teams)
    star: dict[str, Any] = {"marker": "*", "markersize": 11, "markerfacecolor": SHOT, "markeredgecolor": INK}
    handles: list[Any] = [
        Line2D([], [], color=ALLY, label=f"ally ({allies}), filled by health", **dot),
        Line2D([], [], color=ENEMY, label=f"enemy ({enemies})", **dot),
        Line2D([], [], color=ALLY, linewidth=2, markeredgewidth=0.5, label="shot", **star),
        Line2D([], [], color="#888888", marker="x", markeredgewidth=2, linestyle="none", label="fallen"),
        Line2D([], [], color=ALLY, linestyle=":", label=f"sight of agent {unit_name(battle, agent)}"),
    ]
    if battle.beliefs is not None:
        ghost = f"what agent {unit_name(battle, agent)} believes about an ally"
        handles.append(Patch(facecolor=(0, 0.62, 0.45, 0.3), edgecolor=BELIEF, linestyle="--", label=ghost))
    return handles


def _draw_health(axis: Axes, battle: Battle, step: int, agent: int) -> None:
    """Draws the health of each team-mate beside the chosen agent's belief about it."""
    beliefs = battle.beliefs
    if beliefs is None:
        return
    place = np.arange(len(beliefs.mates))
    knows = battle.health[step, agent] > 0
    is_alive = battle.health[step, beliefs.mates] > 0
    axis.barh(place - 0.2, battle.health[step, beliefs.mates], 0.34, color=ALLY)
    believed = np.where(is_alive & knows, beliefs.health[step], 0.0)
    axis.barh(place + 0.2, believed, 0.34, facecolor="#b3e2d5", edgecolor=BELIEF, linewidth=1.0)
    axis.set(xlim=(0, 1), ylim=(len(place) - 0.5, -0.5), xticks=[0, 1])
    axis.set_yticks(place, [unit_name(battle, int(mate)) for mate in beliefs.mates])
    axis.tick_params(labelsize=min(9, 200 / len(place)), length=2)
    axis.set_title("health" if knows else "agent fell", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
