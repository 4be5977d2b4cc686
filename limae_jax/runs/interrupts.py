"""Signals that end a command with nothing to save; for training, see `training.signals`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

# A closing terminal sends SIGHUP, which Windows does not have.
STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """Raised when a signal of STOPS arrives.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int = signal.SIGINT):
        super().__init__()
        self.number = number


def may_be_caught(number: int) -> bool:
    """Whether a handler may be set for a signal; SIGHUP stays ignored under `nohup`."""
    return number != getattr(signal, "SIGHUP", None) or signal.getsignal(number) is not signal.SIG_IGN


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Context in which each signal of STOPS raises `Interrupted`."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread can set handlers
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in STOPS if may_be_caught(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def report_interrupted(number: int) -> int:
    """Prints that a signal ends the command; returns the exit code, 128 + signal as in shells."""
    what = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    print(f"limae-jax: {what}", file=sys.stderr, flush=True)
    return 128 + number


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _is_importing(frame):
        # Some packages catch every error while importing, and would swallow the interrupt. Nothing has started yet.
        os._exit(report_interrupted(number))
    raise Interrupted(number)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
