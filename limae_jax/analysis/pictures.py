"""Pictures made of panels: together as one file, or one by one for a page that sets them in as many columns as fit.

Colours are Okabe and Ito's, which colour-blind readers can tell apart, with markers and broken lines besides.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", ":")
_MARKERS = "osD^vPX*<>"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    # The grid says where numbers are.
    "xtick.bottom": False,
    "ytick.left": False,
    # Text stays text, which is smaller than its outlines and can be searched.
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans"],
    # The same picture gives the same file.
    "svg.hashsalt": "limae-jax",
    # Names are text, not formulas.
    "text.parse_math": False,
}
PANEL = (3.5, 2.6)
COLUMNS = 3
# Of lines in a panel: more cannot be told apart.
MOST_LINES = 6
_NAME_WIDTH = 26
# A path that begins with lines: a point after the first one is joined by a line if nothing else is said.
_LINES_TO = re.compile(r"M -?[\d.]+ -?[\d.]+(?:\nL -?[\d.]+ -?[\d.]+)+")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")


@dataclass(frozen=True)
class Panel:
    """One axis.

    Attributes:
        title: what it shows, in a few words.
        draw: on an axis.
        size: width and height in inches.
    """

    title: str
    draw: Callable[[Axes], None]
    size: tuple[float, float] = PANEL


@dataclass(frozen=True)
class Picture:
    """Panels with what is said of all of them.

    Attributes:
        name: of the file, without its ending.
        section: of the page that it belongs to.
        caption: one or two sentences.
        panels: at least one, of one size.
        legend: methods with what is said of each beside its name.
    """

    name: str
    section: str
    caption: str
    panels: Sequence[Panel]
    legend: dict[str, str] = field(default_factory=dict)


class Look:
    """One look for each method, in all pictures."""

    def __init__(self, methods: Sequence[str]):
        self.methods = list(methods)

    def of(self, method: str) -> dict[str, Any]:
        """Colour and marker."""
        index = self.methods.index(method)
        return {"color": COLOURS[index % len(COLOURS)], "marker": _MARKERS[index % len(_MARKERS)]}

    def line(self, method: str) -> dict[str, Any]:
        """Those, and how a line is drawn."""
        broken = _LINES[self.methods.index(method) // len(COLOURS) % len(_LINES)]
        return {**self.of(method), "linestyle": broken, "markersize": 4, "linewidth": 1.5}


def agent_look(agent: int) -> dict[str, Any]:
    """Colour and marker of an agent's line."""
    return {"color": COLOURS[agent % len(COLOURS)], "marker": _MARKERS[agent % len(_MARKERS)], "markersize": 4}


def draw_line(axis: Axes, x: Sequence[float], rows: Sequence[dict[str, Any]], name: str, **look: Any) -> None:
    """A line with its band, if it has one; some of its points are marked, the last one always."""
    value, low, high = ([row[key] for row in rows] for key in (name, f"{name}_low", f"{name}_high"))
    marked = sorted({round(place) for place in np.linspace(0, len(rows) - 1, min(len(rows), 6))})
    axis.plot(x, value, markevery=marked, **look)
    if None not in low:
        axis.fill_between(x, low, high, color=look["color"], alpha=0.12, linewidth=0)


def few_numbers(axis: Axes) -> None:
    """At most five on each side: more are not read on a panel."""
    axis.locator_params(nbins=4, steps=[1, 2, 2.5, 5, 10])


def wrapped(text: str, width: int = _NAME_WIDTH) -> str:
    """`text` on several lines."""
    return textwrap.fill(text, width)


def counted(name: str, seeds: int | str) -> str:
    """A name with its number of seeds, which is not torn apart where the line is broken."""
    return f"{name} (n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{seeds})"


def row_height(names: Sequence[str]) -> float:
    """Inches that a row needs for the longest of the names."""
    return 0.12 + 0.13 * max(wrapped(counted(name, 10)).count("\n") + 1 for name in names)


def save_picture(picture: Picture, look: Look, folder: Path) -> None:
    """Writes all panels as one PNG and one SVG, with a legend below."""
    with rc_context(STYLE):
        columns = min(COLUMNS, len(picture.panels))
        rows = math.ceil(len(picture.panels) / columns)
        width, height = picture.panels[0].size
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        axes = np.ravel(figure.subplots(rows, columns, squeeze=False))
        for axis, panel in zip(axes, picture.panels, strict=False):
            panel.draw(axis)
            axis.set_title(wrapped(panel.title, 44))
        for axis in axes[len(picture.panels) :]:
            axis.set_axis_off()
        _legend_below(figure, picture, look)
        (folder / f"{picture.name}.svg").write_bytes(_svg(figure))
        # Laid out once; doing it again for the next kind would give the same.
        figure.set_layout_engine("none")
        figure.savefig(folder / f"{picture.name}.png", format="png", dpi=110)


def _legend_below(figure: Figure, picture: Picture, look: Look) -> None:
    """One legend for all panels, in room of its own."""
    if not picture.legend:
        return
    together = {method: said.replace(" ", "\N{NO-BREAK SPACE}") for method, said in picture.legend.items()}
    names = [wrapped(f"{method} {said}".strip(), 44) for method, said in together.items()]
    handles = [Line2D([], [], **look.line(method)) for method in picture.legend]
    width, height = figure.get_size_inches()
    columns = max(1, int(width // 3.4))
    tall = max(name.count("\n") + 1 for name in names)
    figure.set_size_inches(width, height + 0.2 + 0.17 * tall * math.ceil(len(names) / columns))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize="small")


def panel_uri(panel: Panel) -> str:
    """A panel by itself as a `data:` address for a page."""
    with rc_context(STYLE):
        figure = Figure(figsize=panel.size, layout="constrained")
        panel.draw(figure.subplots())
        return _uri(_svg(figure))


def key_uri(look: dict[str, Any]) -> str:
    """A short piece of a line as a `data:` address: what a legend shows beside a name."""
    with rc_context(STYLE):
        figure = Figure(figsize=(0.4, 0.16))
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set_axis_off()
        axis.plot([0, 0.5, 1], [0, 0, 0], markevery=[1], **look)
        # A rule of a page's style must not hold what looks like the end of that style.
        return _uri(_svg(figure)).replace("<", "%3C")


def _svg(figure: Figure) -> bytes:
    """The figure without what nobody sees: a tenth of a point is finer than a screen."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    # In tags only: what stands between them are names and numbers for people. Names of fonts need no quotes.
    short = re.sub(
        r"<[^<>]+>", lambda tag: _LONG_NUMBER.sub(_rounded, tag[0]).replace("'", ""), file.getvalue().decode()
    )
    # Nothing refers to groups.
    short = re.sub(r'<g id="[^"]*">', "<g>", short)
    return _LINES_TO.sub(lambda path: path[0].replace("L ", ""), re.sub(r"\s*\n\s*", "\n", short)).encode()


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _uri(svg: bytes) -> str:
    """For an attribute or a rule in double quotes; base64 would be a third longer."""
    _, tag, rest = svg.decode().partition("<svg")
    text = re.sub(r"<[^<>]+>", lambda one: one[0].replace('"', "'"), tag + rest).replace("\n", " ")
    return "data:image/svg+xml," + quote(text, safe=" <>=:/;,()-._~!*+?$@[]{}|^'")
