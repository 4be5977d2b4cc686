"""The console that everything is shown on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.segment import Segment

from limae_jax.checks import printable
from limae_jax.metrics.streams import wrapped

# Columns of what goes into a file or a pipe, where nobody's screen sets them.
WIDTH_OF_A_FILE = 120

_PICTURES_PER_S = 4


class _Console(Console):
    """Shows names of others as text, whatever a terminal would take them for; never ends the program by itself."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                text = "\n".join(map(printable, segment.text.split("\n")))
                yield Segment(text, segment.style)

    def on_broken_pipe(self) -> None:
        """Is called where the error is handled; whether it is one, the stream decides."""
        raise


def make_console(stream: TextIO | None = None) -> Console:
    """A console on a stream, by default the standard output: its width is the terminal's, or WIDTH_OF_A_FILE."""
    console = _Console(file=wrapped(stream or sys.stdout), highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_A_FILE
    return console


def live(console: Console, draw: Callable[[], RenderableType]) -> Live:
    """Begins to show what `draw` returns, anew all the time: what takes long is seen to go on."""
    shown = Live(console=console, get_renderable=draw, refresh_per_second=_PICTURES_PER_S, transient=True)
    shown.start(refresh=True)
    return shown
