"""How long there is still to wait, second by second, and what for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

# Longer than this a program that should be in the cache is being compiled after all.
_SLACK_S = 3.0
# Compiling that takes no longer than this is not worth a line of a log.
LONG_S = 5.0


def format_seconds(seconds: float) -> str:
    """`0:21`, `12:05`, `3:07:45`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


class TimeLeft(NamedTuple):
    """An estimate.

    Attributes:
        seconds: in all.
        compiling: those of them that go into compiling.
    """

    seconds: float
    compiling: float


class Compiling(NamedTuple):
    """A program that is about to be compiled.

    Attributes:
        name: of the program.
        first_s: seconds that it takes, or one of its kind, where no cache holds it; None if that is not known.
        expected_s: seconds that it is counted with in the time left.
    """

    name: str
    first_s: float | None
    expected_s: float

    @property
    def is_long(self) -> bool:
        """Whether one may wonder what takes so long."""
        return self.first_s is None or self.first_s > LONG_S

    def text(self, seconds: float | None = None) -> str:
        """`compiling train 0:07 (first time about 25 s)`; `seconds` of it have gone by."""
        gone = "" if seconds is None else f" {format_seconds(seconds)}"
        known = "" if self.first_s is None else f" (first time about {max(self.first_s, 1):.0f} s)"
        return f"compiling {self.name}{gone}{known}"


class Countdown:
    """The time left between two estimates of it. While a program is compiled the rest stands still."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._left: float | None = None
        self._since = clock()
        self._compiling: Compiling | None = None

    def told(self, seconds: float | None) -> None:
        """Takes over an estimate; None is unknown."""
        self._left, self._since = seconds, self._clock()

    def compiling(self, what: Compiling) -> None:
        """A program is being compiled from now on."""
        rest = self.seconds_left
        self._left = None if rest is None else max(rest - what.expected_s, 0.0)
        self._compiling, self._since = what, self._clock()

    def compiled(self) -> None:
        """It is there."""
        self._compiling, self._since = None, self._clock()

    @property
    def seconds_left(self) -> float | None:
        """Seconds from now on; None if unknown."""
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
        """What is being compiled, and for how long; nothing otherwise."""
        return self._compiling.text(self._clock() - self._since) if self._compiling else ""
