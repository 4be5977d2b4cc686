"""Stopping on request: the first SIGINT or SIGTERM asks the run to finish its chunk, save and end."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class StopRequest:
    """Context in which SIGINT and SIGTERM are requests; the second one acts as it would without.

    Attributes:
        signal: number of the signal that asked, or None.
    """

    def __init__(self):
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        # Python delivers signals to the main thread only; elsewhere (a notebook's worker) there is nothing to catch.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *exc: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    @property
    def exit_code(self) -> int:
        """128 + signal, the shell's convention; 0 without a request."""
        return 128 + self.signal if self.signal else 0
