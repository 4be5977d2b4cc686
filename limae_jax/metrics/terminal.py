"""The console that everything is shown on."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from limae_jax.checks import printable
from limae_jax.streams import wrapped

# Columns of what goes into a file or a pipe, where nobody's screen sets them.
WIDTH_OF_A_FILE = 120


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


def make_console() -> Console:
    """A console on the standard output: its width is the terminal's, or WIDTH_OF_A_FILE."""
    console = _Console(file=wrapped(sys.stdout), highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_A_FILE
    return console
