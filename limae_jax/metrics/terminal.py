"""The console for all output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.segment import Segment

from limae_jax.checks import printable
from limae_jax.metrics.streams import wrapped

# Width of output into a file or a pipe, which has no screen width.
WIDTH_OF_A_FILE = 120

_PICTURES_PER_S = 4


class _Console(Console):
    """A console that prints control characters in names as text and never exits the program by itself."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                text = "\n".join(map(printable, segment.text.split("\n")))
                yield Segment(text, segment.style)

    def on_broken_pipe(self) -> None:
        """Raises the error again; the stream decides whether it is ignored."""
        raise


def make_console(stream: TextIO | None = None) -> Console:
    """Makes a console on a stream, by default the standard output, as wide as the terminal or WIDTH_OF_A_FILE."""
    console = _Console(file=wrapped(stream or sys.stdout), highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_A_FILE
    return console


def live(console: Console, draw: Callable[[], RenderableType]) -> Live:
    """Starts to show what `draw` returns, refreshed several times a second."""
    shown = Live(console=console, get_renderable=draw, refresh_per_second=_PICTURES_PER_S, transient=True)
    shown.start(refresh=True)
    return shown
