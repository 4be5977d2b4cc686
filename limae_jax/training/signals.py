"""Stop requests: the first SIGINT, SIGTERM or SIGHUP asks the run to finish its chunk, save and exit."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from limae_jax.runs.interrupts import STOPS, may_be_caught


class StopRequest:
    """Context in which SIGINT, SIGTERM and SIGHUP are stop requests.

    After the first signal, the next SIGINT interrupts at once; the other signals kill the process.

    Attributes:
        signal: number of the signal that requested the stop, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        # Python handles signals in the main thread only; other threads (a notebook's worker) cannot catch them.
        if threading.current_thread() is threading.main_thread():
            for number in filter(may_be_caught, STOPS):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        for other, handler in self._before.items():
            # Not a Python handler: it would run only after the current compilation or computation.
            signal.signal(other, handler if other == signal.SIGINT else signal.SIG_DFL)  # type: ignore[arg-type]

    @property
    def exit_code(self) -> int:
        """128 + signal, the shell's convention; 0 without a request."""
        return 128 + self.signal if self.signal else 0
