"""Draws one step of a battle: units with their health, shots, deaths, and the beliefs of one agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle
from matplotlib.patheffects import withStroke

from limae_jax.analysis.battle import Battle
from limae_jax.catalogue.scenarios import UNIT_LETTERS

ALLY, ENEMY, BELIEF, SHOT, INK = "#0072B2", "#D55E00", "#009E73", "#F0B000", "#333333"
GROUND, GONE = "#f6f6f2", "#ffffff"
_LETTERS = {kind: letter for letter, kind in UNIT_LETTERS.items()}
_MARGIN = 1.5  # around everything, in SMAX's units of length
_FLATTEST, _TALLEST = 0.45, 0.75  # height of the field / its width
_SMALLEST, _LARGEST = 0.014, 0.04  # radius of a drawn unit / the field's width
_SMALLEST_NAMED = 0.018  # smaller units have no room for their number
_FONT_SIZE = 380.0  # in points, of a number on a unit as large as the field
_GRID = 5.0  # between two lines, in SMAX's units of length


@dataclass(frozen=True)
class View:
    """The part of the map that is shown, the same at every step.

    Attributes:
        low, high: [2] corners, in SMAX's units of length.
        radius: of a drawn unit, in the same units.
    """

    low: np.ndarray
    high: np.ndarray
    radius: float

    @property
    def aspect(self) -> float:
        """Height / width."""
        return float((self.high[1] - self.low[1]) / (self.high[0] - self.low[0]))

    @property
    def font_size(self) -> float:
        """Font size in points of a number on a unit; 0 if there is no room for it."""
        share = self.radius / float(self.high[0] - self.low[0])
        return 0.0 if share < _SMALLEST_NAMED else min(14.0, _FONT_SIZE * share)

    def held(self, points: np.ndarray) -> np.ndarray:
        """Returns points [..., 2], clipped to the view."""
        return np.clip(points, self.low + self.radius, self.high - self.radius)


def view_of(battle: Battle) -> View:
    """Returns the view of everywhere the units go, with a radius at which they hardly hide one another."""
    points = battle.position.reshape(-1, 2)
    low, high = points.min(axis=0) - _MARGIN, points.max(axis=0) + _MARGIN
    middle, (width, height) = (low + high) / 2, high - low
    width, height = max(width, height / _TALLEST), max(height, width * _FLATTEST)
    half = np.array([width, height]) / 2
    radius = float(np.clip(0.6 * _distance_between(battle), _SMALLEST * width, _LARGEST * width))
    return View(middle - half, middle + half, radius)


def _distance_between(battle: Battle) -> float:
    """Returns the median distance to the nearest living unit, over steps and living units."""
    nearest = []
    for position, health in zip(battle.position, battle.health, strict=True):
        alive = position[health > 0]
        between = np.linalg.norm(alive[:, None] - alive, axis=-1) + np.diag(np.full(len(alive), np.inf))
        nearest += list(between.min(axis=1)) if len(alive) > 1 else []
    return float(np.median(nearest)) if nearest else np.inf


def unit_name(battle: Battle, unit: int) -> str:
    """Returns a unit's number in its team, after the letter of its type if the team has several types."""
    start, stop = (0, battle.num_allies) if unit < battle.num_allies else (battle.num_allies, len(battle.unit_type))
    kinds = battle.unit_type[start:stop]
    letter = _LETTERS[int(battle.unit_type[unit])] if len(set(kinds.tolist())) > 1 else ""
    return f"{letter}{unit - start}"


def draw_field(axis: Axes, battle: Battle, step: int, agent: int, view: View) -> None:
    """Draws entry `step` of a battle.

    Args:
        axis: to fill.
        battle: to draw.
        step: 0 is the start.
        agent: whose sight and beliefs are shown.
        view: of the battle.
    """
    axis.set(xlim=(view.low[0], view.high[0]), ylim=(view.low[1], view.high[1]), xticks=[], yticks=[])
    axis.set_facecolor(GROUND)
    axis.spines[:].set_color("#cccccc")
    _draw_ground(axis, view)
    position, health = battle.position[step], battle.health[step]
    if health[agent] > 0:
        around: dict[str, Any] = {"edgecolor": ALLY, "linestyle": (0, (1, 2)), "linewidth": 1.2, "zorder": 1}
        axis.add_patch(Circle(position[agent], battle.sight[agent], facecolor=(0, 0.45, 0.7, 0.05), **around))
    for unit, target in enumerate(battle.target[step]):
        if target >= 0:
            _draw_shot(axis, position[unit], position[target], view, _colour(battle, unit))
    has_fallen_now = (health <= 0) & (battle.health[max(step - 1, 0)] > 0)
    for unit in range(len(health)):
        if health[unit] > 0:
            _draw_unit(axis, battle, step, unit, view, is_chosen=unit == agent)
        else:
            _draw_fallen(axis, position[unit], view, _colour(battle, unit), is_new=bool(has_fallen_now[unit]))
    if health[agent] > 0:
        _draw_beliefs(axis, battle, step, view)


def _colour(battle: Battle, unit: int) -> str:
    return ALLY if unit < battle.num_allies else ENEMY


def _draw_ground(axis: Axes, view: View) -> None:
    """Draws faint grid lines _GRID apart, to show motion and distances."""
    for low, high, line in ((view.low[0], view.high[0], axis.axvline), (view.low[1], view.high[1], axis.axhline)):
        for place in np.arange(np.ceil(low / _GRID), high / _GRID) * _GRID:
            line(place, color="#e4e4de", linewidth=0.8, zorder=0)


def _draw_shot(axis: Axes, start: np.ndarray, end: np.ndarray, view: View, colour: str) -> None:
    axis.plot(*np.stack([start, end]).T, color=colour, linewidth=2, alpha=0.8, zorder=2, solid_capstyle="round")
    # The hit mark is on the rim that faces the shooter.
    distance = float(np.linalg.norm(start - end))
    struck = end + (start - end) / max(distance, 1e-6) * min(view.radius, distance / 2)
    axis.plot(*struck, "*", color=SHOT, markeredgecolor=INK, markeredgewidth=0.5, markersize=11, zorder=6)


def _draw_unit(axis: Axes, battle: Battle, step: int, unit: int, view: View, is_chosen: bool) -> None:
    # The chosen agent is on top where units overlap.
    order = 4.5 if is_chosen else 4
    rim = (INK, 2.6) if is_chosen else (_colour(battle, unit), 1.4)
    place = battle.position[step, unit]
    draw_vessel(axis, place, view.radius, float(battle.health[step, unit]), _colour(battle, unit), rim, order)
    _write(axis, place, unit_name(battle, unit), view.font_size, "white", INK, order)


def draw_vessel(
    axis: Axes,
    place: np.ndarray,
    radius: float,
    share: float,
    colour: str,
    rim: tuple[str, float],
    order: float,
    is_ghost: bool = False,
) -> None:
    """Draws a disc filled up to a share of its height; a ghost is transparent with a dashed rim."""
    x, y = place
    style: dict[str, Any] = {"linestyle": (0, (2.5, 1.5))} if is_ghost else {}
    if not is_ghost:
        # A gap separates overlapping units of one colour.
        axis.add_patch(Circle((x, y), 1.1 * radius, facecolor=GROUND, edgecolor="none", zorder=order))
    axis.add_patch(Circle((x, y), radius, facecolor=GONE, edgecolor="none", alpha=0.5 if is_ghost else 1, zorder=order))
    disc = Circle((x, y), radius, facecolor="none", edgecolor=rim[0], linewidth=rim[1], zorder=order, **style)
    axis.add_patch(disc)
    fill = Rectangle((x - radius, y - radius), 2 * radius, 2 * radius * share, facecolor=colour, zorder=order)
    fill.set_alpha(0.3 if is_ghost else 1.0)
    axis.add_patch(fill)
    fill.set_clip_path(disc)


def _write(axis: Axes, place: np.ndarray, text: str, size: float, colour: str, around: str, order: float) -> None:
    if not size:
        return
    stroke = [withStroke(linewidth=2, foreground=around)]
    style: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": size, "fontweight": "bold"}
    axis.text(place[0], place[1], text, color=colour, path_effects=stroke, clip_on=True, zorder=order + 0.1, **style)


def _draw_fallen(axis: Axes, place: np.ndarray, view: View, colour: str, is_new: bool) -> None:
    """Draws a cross, with a ring around it in the step of the death."""
    half = 0.55 * view.radius
    for sign in (1, -1):
        x, y = place[0] + np.array([-half, half]), place[1] + sign * np.array([-half, half])
        axis.plot(x, y, color=colour, alpha=0.55, linewidth=2.5, zorder=1.5)
    if is_new:
        ring: dict[str, Any] = {"facecolor": "#ffe9a8", "edgecolor": colour, "linewidth": 2, "zorder": 1.4}
        axis.add_patch(Circle((place[0], place[1]), 1.5 * view.radius, **ring))


def _draw_beliefs(axis: Axes, battle: Battle, step: int, view: View) -> None:
    """Draws believed positions and health of living team-mates, with lines to their true positions."""
    beliefs = battle.beliefs
    if beliefs is None or beliefs.position is None:
        return
    for index, mate in enumerate(beliefs.mates):
        if battle.health[step, mate] <= 0:
            continue
        ghost = view.held(beliefs.position[step, index])
        axis.plot(*np.stack([battle.position[step, mate], ghost]).T, ":", color=BELIEF, linewidth=1.6, zorder=5)
        share = float(beliefs.health[step, index])
        draw_vessel(axis, ghost, view.radius, share, BELIEF, (BELIEF, 1.8), 5.2, is_ghost=True)
        _write(axis, ghost, unit_name(battle, int(mate)), view.font_size, BELIEF, "white", 5.3)
