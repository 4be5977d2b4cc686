"""Pictures of a study. Colours are Okabe and Ito's, which colour-blind readers can tell apart, with markers besides."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limae_jax.analysis.summary import CURVES, GOALS, WIN, Outcomes, TableRow

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", ":")
_MARKERS = "osD^vPX*<>"
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    # The same picture gives the same file.
    "svg.hashsalt": "limae-jax",
}
_PANEL = (3.4, 2.7)
_NAME_WIDTH = 30


class Picture:
    """A figure with its name and what it shows.

    Attributes:
        name: of the file, without its ending.
        caption: one or two sentences.
        figure: matplotlib's.
    """

    def __init__(self, name: str, caption: str, figure: Figure):
        self.name, self.caption, self.figure = name, caption, figure

    def save(self, path: Any, kind: str) -> None:
        """Writes it as `png` or `svg` to a path or a file."""
        metadata = {"Date": None} if kind == "svg" else {}
        with rc_context(_STYLE):
            self.figure.savefig(path, format=kind, dpi=150, metadata=metadata)
            # Laid out once; doing it again for the next kind would give the same.
            self.figure.set_layout_engine("none")


class _Look:
    """One look for each method, in all pictures."""

    def __init__(self, methods: Sequence[str]):
        self._methods = list(methods)

    def of(self, method: str) -> dict[str, Any]:
        index = self._methods.index(method)
        return {"color": _COLOURS[index % 7], "marker": _MARKERS[index % 10]}

    def line(self, method: str) -> dict[str, Any]:
        index = self._methods.index(method)
        return {**self.of(method), "linestyle": _LINES[index // 7 % 3], "markersize": 4, "markevery": 0.15}


def all_pictures(outcomes: Outcomes) -> Iterator[Picture]:
    """Every picture that the study has data for."""
    look, study = _Look(outcomes.study.methods), outcomes.study
    with rc_context(_STYLE):
        if len(study.maps) > 1:
            yield from _aggregate(outcomes, look)
            yield from _overview(outcomes, look)
        for map_name in study.maps:
            yield _curves(outcomes, map_name, look)
            yield from _steps(outcomes, map_name, look)
        yield from _rules(outcomes, look)
        for map_name in study.maps:
            yield from _hidden(outcomes, map_name)


def _panels(count: int, columns: int, size: tuple[float, float] = _PANEL) -> tuple[Figure, list[Axes]]:
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes


def _wrapped(text: str, width: int = _NAME_WIDTH) -> str:
    return textwrap.fill(text, width)


def _counted(method: str, seeds: int | str) -> str:
    # The count is not torn apart where the line is broken.
    return f"{method} (n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{seeds})"


def _legend_below(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, in room of its own."""
    lines = {text: line for axis in axes for line, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    width, height = figure.get_size_inches()
    columns = max(1, int(width // 3.4))
    names = [_wrapped(name, 44) for name in lines]
    tall = max(name.count("\n") + 1 for name in names)
    figure.set_size_inches(width, height + 0.2 + 0.17 * tall * math.ceil(len(names) / columns))
    figure.legend(list(lines.values()), names, loc="outside lower center", ncols=columns, fontsize="small")


def _row_height(names: Sequence[str]) -> float:
    """Inches that a row needs for the longest of the methods' names."""
    return 0.28 + 0.15 * max(_wrapped(_counted(name, 10)).count("\n") + 1 for name in names)


def _draw(axis: Axes, x: Sequence[float], rows: Sequence[TableRow], name: str, line: dict[str, Any], title: str):
    """A line with its band, if it has one."""
    value, low, high = ([row[key] for row in rows] for key in (name, f"{name}_low", f"{name}_high"))
    axis.plot(x, value, label=title, linewidth=1.5, **line)
    if None not in low:
        axis.fill_between(x, low, high, color=line["color"], alpha=0.12, linewidth=0)


def _curves(outcomes: Outcomes, map_name: str, look: _Look) -> Picture:
    cells = outcomes.study.on(map_name)
    shown = [metric for metric in CURVES if any(cell.has(metric) for cell in cells)]
    figure, axes = _panels(len(shown), 3)
    for axis, metric in zip(axes, shown, strict=False):
        for cell in (cell for cell in cells if cell.has(metric)):
            rows = outcomes.curve(cell, metric)
            steps = [row["env_steps"] / 1000 for row in rows]
            _draw(axis, steps, rows, "iqm", look.line(cell.method), _counted(cell.method, len(cell.seeds)))
        axis.set(xlabel="env steps (thousands)", ylabel=CURVES[metric], xlim=(0, None))
        if metric == "test_r2":
            # Bad guesses have no lower bound; how bad they are is in curves.csv.
            axis.set_ylim(-1.05, 1.05)
        if metric == WIN:
            axis.set_ylim(-0.02, 1.02)
    _legend_below(figure, axes[:1])
    figure.suptitle(_wrapped(map_name))
    episodes = cells[0].num_episodes
    caption = f"{map_name}: greedy evaluation over {episodes} episodes a seed; interquartile mean over the seeds, band"
    return Picture(f"curves_{file_name(map_name)}", f"{caption} 95 % bootstrap.", figure)


def _overview(outcomes: Outcomes, look: _Look) -> Iterator[Picture]:
    """The win rates of all maps beside each other."""
    maps = [name for name in outcomes.study.maps if any(cell.has(WIN) for cell in outcomes.study.on(name))]
    if not maps:
        return
    figure, axes = _panels(len(maps), 3)
    for axis, map_name in zip(axes, maps, strict=False):
        for cell in outcomes.study.on(map_name):
            rows = outcomes.curve(cell, WIN)
            _draw(axis, [row["env_steps"] / 1000 for row in rows], rows, "iqm", look.line(cell.method), cell.method)
        axis.set(xlabel="env steps (thousands)", ylabel="win rate", xlim=(0, None), ylim=(-0.02, 1.02))
        axis.set_title(_wrapped(map_name))
    _legend_below(figure, axes[: len(maps)])
    caption = "Win rate of greedy evaluations on each map; interquartile mean over the seeds, band 95 % bootstrap."
    yield Picture("win_rates", caption, figure)


def _forest(
    axis: Axes, rows: Sequence[TableRow | None], name: str, look: _Look, offset: float = 0.0, **more: Any
) -> None:
    """A point with its interval for each row, top down; None leaves its place empty."""
    for index, row in enumerate(rows):
        if row:
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            spread = None if low is None else [[row[name] - low], [high - row[name]]]
            style = {**look.of(row["method"]), **more}
            axis.errorbar(row[name], index + offset, xerr=spread, capsize=3, linestyle="none", **style)


def _name_rows(axis: Axes, rows: Sequence[TableRow]) -> None:
    axis.set_yticks(range(len(rows)), [_wrapped(_counted(row["method"], row["seeds"])) for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)


def _aggregate(outcomes: Outcomes, look: _Look) -> Iterator[Picture]:
    finals = outcomes.aggregate
    if not finals:
        return
    figure, (curve, final, profile) = _panels(
        3, 3, (4.2, max(3.2, 1 + len(finals) * _row_height(outcomes.study.methods)))
    )
    for method in outcomes.study.methods:
        rows = [row for row in outcomes.aggregate_curves if row["method"] == method]
        _draw(curve, [100 * row["share"] for row in rows], rows, "iqm", look.line(method), method)
        rows = [row for row in outcomes.profiles if row["method"] == method]
        _draw(
            profile,
            [row["win_rate_above"] for row in rows],
            rows,
            "share_of_seeds",
            look.line(method),
            _wrapped(method),
        )
    curve.set(xlabel="env steps (% of the map's budget)", ylabel="win rate", ylim=(-0.02, 1.02))
    profile.set(xlabel="final win rate τ", ylabel="share of seeds above τ", ylim=(-0.02, 1.02))
    _legend_below(figure, [curve])
    _forest(final, finals, "final_win_rate", look)
    _name_rows(final, finals)
    final.set_xlabel("final win rate")
    maps = ", ".join(outcomes.shared_maps)
    caption = f"Over the maps that all methods share ({maps}): interquartile means with 95 % stratified bootstrap"
    yield Picture("aggregate", f"{caption}, and the performance profile.", figure)


def _steps(outcomes: Outcomes, map_name: str, look: _Look) -> Iterator[Picture]:
    """Env steps to each goal, a mark for each seed; those that never got there stand apart on the right."""
    cells = [cell for cell in outcomes.study.on(map_name) if cell.has(WIN)]
    if not cells:
        return
    budget = cells[0].budget_env_steps / 1000
    figure, axes = _panels(
        len(GOALS), len(GOALS), (3.6, 1.1 + len(cells) * _row_height([cell.method for cell in cells]))
    )
    for axis, goal in zip(axes, GOALS, strict=True):
        for place, cell in enumerate(cells):
            steps = outcomes.of(cell, f"steps_to_{goal:.0%}") / 1000
            is_there = np.isfinite(steps)
            height = place + (np.linspace(-0.2, 0.2, len(steps)) if len(steps) > 1 else np.zeros(1))
            style = {"marker": look.of(cell.method)["marker"], "edgecolors": look.of(cell.method)["color"], "s": 26}
            axis.scatter(steps[is_there], height[is_there], facecolors=style["edgecolors"], zorder=3, **style)
            missed = height[~is_there]
            axis.scatter(np.full(len(missed), 1.13 * budget), missed, facecolors="none", zorder=3, **style)
        axis.axvline(1.05 * budget, color="grey", linewidth=0.8)
        axis.text(1.13 * budget, 1.01, "not reached", transform=axis.get_xaxis_transform(), ha="center", size=7)
        axis.set(xlim=(0, 1.22 * budget), xlabel="env steps (thousands)")
        axis.set_title(f"to {goal:.0%} wins", pad=12)
        _name_rows(axis, [{"method": cell.method, "seeds": len(cell.seeds)} for cell in cells])
        if goal != GOALS[0]:
            axis.set_yticklabels([])
    figure.suptitle(_wrapped(map_name))
    goals = ", ".join(f"{goal:.0%}" for goal in GOALS)
    caption = f"{map_name}: env steps at which each seed's evaluation first won {goals} of the battles."
    yield Picture(f"steps_{file_name(map_name)}", caption, figure)


def _rules(outcomes: Outcomes, look: _Look) -> Iterator[Picture]:
    """Masking rules beside each other, each at the same height on all maps, with the baseline as the measure."""
    masked = {cell.method for cell in outcomes.study.cells if cell.masking}
    rules = [method for method in outcomes.study.methods if method in masked]
    rows = outcomes.methods_on_maps
    maps = list(dict.fromkeys(row["map"] for row in rows if row["method"] in rules))
    if len(rules) < 2 or not maps:
        return
    baseline = outcomes.study.methods[0]
    figure, axes = _panels(len(maps), 3, (4.4, 1.2 + len(rules) * _row_height(rules)))
    for number, (axis, map_name) in enumerate(zip(axes, maps, strict=False)):
        found = {row["method"]: row for row in rows if row["map"] == map_name}
        here = [found.get(rule) for rule in rules]
        _forest(axis, here, "final_win_rate", look, -0.13)
        _forest(axis, here, "mean_win_rate", look, 0.13, markerfacecolor="white")
        if baseline in found and baseline not in rules:
            for name, style in (("final_win_rate", "-"), ("mean_win_rate", ":")):
                axis.axvline(found[baseline][name], color="grey", linewidth=1, linestyle=style, zorder=0)
        axis.set_yticks(range(len(rules)), map(_wrapped, rules) if number % 3 == 0 else [""] * len(rules))
        counts = sorted({row["seeds"] for row in here if row})
        seeds = "-".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        axis.set(title=_counted(map_name, seeds), xlabel="win rate", xlim=(-0.03, 1.03), ylim=(len(rules) - 0.5, -0.5))
    measure = "" if baseline in rules else f" Grey lines: {baseline}, final and (dotted) mean."
    caption = (
        f"Masking rules: final win rate (filled) and its mean over the budget (white), with 95 % bootstrap.{measure}"
    )
    yield Picture("masking_rules", caption, figure)


def _hidden(outcomes: Outcomes, map_name: str) -> Iterator[Picture]:
    cells = [(cell, rows) for cell in outcomes.study.on(map_name) if (rows := outcomes.hidden(cell))]
    if not cells:
        return
    figure, axes = _panels(len(cells), 3, (_PANEL[0], _PANEL[1] + _row_height([cell.method for cell, _ in cells])))
    for axis, (cell, rows) in zip(axes, cells, strict=False):
        agents = rows[-1]["agent"] + 1
        colours = _COLOURS if agents <= len(_COLOURS) else colormaps["viridis"](np.linspace(0, 0.95, agents))
        for agent in range(agents):
            own = [row for row in rows if row["agent"] == agent]
            # Many lines in a row of colours need no more names than its ends.
            name = f"agent {agent}" if agents <= 10 or agent in (0, agents - 1) else None
            marker: dict[str, Any] = {"marker": _MARKERS[agent % 10], "markersize": 4, "markevery": 0.15}
            steps, shares = [row["env_steps"] / 1000 for row in own], [row["iqm"] for row in own]
            axis.plot(steps, shares, label=name, color=colours[agent], **marker)
        axis.set(xlabel="env steps (thousands)", ylabel="share of time hidden", xlim=(0, None), ylim=(-0.02, 1.02))
        axis.set_title(_wrapped(_counted(cell.method, len(cell.seeds))))
    axes[0].legend(fontsize="x-small", ncols=2)
    figure.suptitle(_wrapped(map_name))
    caption = f"{map_name}: how often each agent was hidden from the auto-encoder, interquartile mean over the seeds."
    yield Picture(f"hidden_{file_name(map_name)}", caption, figure)


def file_name(text: str) -> str:
    """A map's name as part of a file's."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in text)
