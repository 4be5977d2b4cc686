"""What a command is doing, while it has nothing else to show."""

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
    """A live line on the standard error, with the seconds going by; nothing where it is no terminal."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic):
        """Shows nothing before it is entered as a context.

        Args:
            console: to show it on, the standard error by default.
            clock: in seconds.
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
        """What is being done from now on."""
        self._text, self._since = text, self._clock()

    def compiling(self, what: Compiling) -> None:
        """Before a program is compiled."""
        self.update(what.text())

    def compiled(self) -> None:
        """After that; what comes next is said by whoever does it."""

    def _line(self) -> Text:
        gone = format_seconds(self._clock() - self._since)
        return Text(f"{gone}  {self._text}" if self._text else "", style="dim", no_wrap=True, overflow="ellipsis")
