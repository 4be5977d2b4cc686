"""The status line of a command that has nothing else to show yet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from limae_jax.metrics.terminal import live, make_console
from limae_jax.metrics.waiting import Compiling, format_seconds


class Status:
    """A live line with the elapsed time on the standard error; shows nothing if that is not a terminal."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic):
        """Shows nothing until the context is entered.

        Args:
            console: where to show the line; the standard error by default.
            clock: returns the time in seconds.
        """
        self._console = console or make_console(sys.stderr)
        self._clock = clock
        self._text, self._since = "", clock()
        self._live: Live | None = None

    def __enter__(self) -> Status:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = live(self._console, self._line)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def update(self, text: str) -> None:
        """Sets the text, and restarts the elapsed time."""
        self._text, self._since = text, self._clock()

    def compiling(self, what: Compiling) -> None:
        """Called before a program is compiled."""
        self.update(what.text())

    def compiled(self) -> None:
        """Called after a program was compiled; the text stays until the next `update`."""

    def _line(self) -> Text:
        gone = format_seconds(self._clock() - self._since)
        return Text(f"{gone}  {self._text}" if self._text else "", style="dim", no_wrap=True, overflow="ellipsis")
