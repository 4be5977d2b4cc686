"""The standard streams as they may be: closed, gone, full, or of an encoding that lacks what is to be printed."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any, TextIO, cast


class Output:
    """Writes to a stream; what its encoding lacks becomes `?`.

    Attributes:
        may_be_lost: whether work goes on where nothing can be printed; else what the system refuses is raised.
    """

    def __init__(self, stream: TextIO | None, may_be_lost: bool = True):
        """None, as Python has it for a stream that was closed from the start, swallows everything."""
        self._stream, self.may_be_lost = stream, may_be_lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:
        """Of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether somebody may be looking."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:  # closed
            return False

    def write(self, text: str) -> int:
        """Writes what can be written."""
        if self._stream is not None:
            self._attempt(self._stream.write, text.encode(self.encoding, "replace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        """Hands on what was written so far."""
        if self._stream is not None:
            self._attempt(self._stream.flush)

    def give_up(self) -> None:
        """Drops what cannot be written: Python would complain of it once more when it ends."""
        if self._stream is None or self._stream.closed:
            return
        try:
            self._stream.flush()
        except OSError:
            with contextlib.suppress(io.UnsupportedOperation), open(os.devnull, "w") as null:
                os.dup2(null.fileno(), self._stream.fileno())

    def _attempt(self, act: Any, *args: str) -> None:
        try:
            act(*args)
        except (OSError, ValueError):
            if not self.may_be_lost:
                raise


def wrapped(stream: TextIO | None) -> TextIO:
    """A stream whose loss stops no work; one that is wrapped already stays as it is."""
    return cast(TextIO, stream if isinstance(stream, Output) else Output(stream))


def occupy_descriptors() -> None:
    """Opens the standard descriptors that are closed; else files get their numbers, and what libraries print."""
    descriptor = 0
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
        os.set_inheritable(descriptor, descriptor <= 2)
    os.close(descriptor)
