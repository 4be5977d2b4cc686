"""The time left, counted down second by second, and what is being compiled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

# If loading a program from the cache takes this much longer than expected, the program is being compiled.
_SLACK_S = 3.0
# A compilation that takes no longer than this is not logged.
LONG_S = 5.0


def format_seconds(seconds: float) -> str:
    """Formats seconds as `0:21`, `12:05` or `3:07:45`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


class TimeLeft(NamedTuple):
    """An estimate of the time left.

    Attributes:
        seconds: in total.
        compiling: seconds of the total that are spent on compiling.
    """

    seconds: float
    compiling: float


class Compiling(NamedTuple):
    """A program that is about to be compiled.

    Attributes:
        name: of the program.
        first_s: seconds that it, or a program of its kind, takes when it is not cached; None if unknown.
        expected_s: seconds that the time left includes for it.
    """

    name: str
    first_s: float | None
    expected_s: float

    @property
    def is_long(self) -> bool:
        """Whether the compilation may be long enough to be worth a message."""
        return self.first_s is None or self.first_s > LONG_S

    def text(self, seconds: float | None = None) -> str:
        """Returns `compiling train 0:07 (first time about 25 s)`, where `seconds` is the elapsed time."""
        gone = "" if seconds is None else f" {format_seconds(seconds)}"
        known = "" if self.first_s is None else f" (first time about {max(self.first_s, 1):.0f} s)"
        return f"compiling {self.name}{gone}{known}"


class Countdown:
    """Counts the time left down between two estimates. While a program compiles, only its own share counts down."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._left: float | None = None
        self._since = clock()
        self._compiling: Compiling | None = None

    def told(self, seconds: float | None) -> None:
        """Sets a new estimate; None is unknown."""
        self._left, self._since = seconds, self._clock()

    def compiling(self, what: Compiling) -> None:
        """Called before a program is compiled."""
        rest = self.seconds_left
        self._left = None if rest is None else max(rest - what.expected_s, 0.0)
        self._compiling, self._since = what, self._clock()

    def compiled(self) -> None:
        """Called after a program was compiled."""
        self._compiling, self._since = None, self._clock()

    @property
    def seconds_left(self) -> float | None:
        """Seconds left from now; None if unknown."""
        if self._left is None:
            return None
        gone = self._clock() - self._since
        if self._compiling is None:
            return max(self._left - gone, 0.0)
        _, first_s, expected_s = self._compiling
        if first_s is not None and gone > expected_s + _SLACK_S:
            expected_s = max(first_s, expected_s)
        return self._left + max(expected_s - gone, 0.0)

    @property
    def activity(self) -> str:
        """What is being compiled and for how long; empty if nothing is."""
        return self._compiling.text(self._clock() - self._since) if self._compiling else ""
