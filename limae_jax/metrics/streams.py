"""Standard streams that may be closed, gone or full, or whose encoding may lack characters of the output."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any, TextIO, cast


class Output:
    """Writes to a stream; characters that its encoding lacks become `?`.

    Attributes:
        may_be_lost: whether errors of the stream are ignored; otherwise they are raised.
    """

    def __init__(self, stream: TextIO | None, may_be_lost: bool = True):
        """Wraps a stream. None, Python's value for a stream closed from the start, discards all output."""
        self._stream, self.may_be_lost = stream, may_be_lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:
        """Encoding of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:  # closed
            return False

    def write(self, text: str) -> int:
        """Writes the text as far as possible."""
        if self._stream is not None:
            self._attempt(self._stream.write, text.encode(self.encoding, "replace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        """Flushes the stream."""
        if self._stream is not None:
            self._attempt(self._stream.flush)

    def give_up(self) -> None:
        """Drops output that cannot be written; otherwise Python reports the error again when it exits."""
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
    """Wraps a stream so that its errors are ignored; a stream that is already wrapped is returned unchanged."""
    return cast(TextIO, stream if isinstance(stream, Output) else Output(stream))


def occupy_descriptors() -> None:
    """Opens closed standard descriptors; otherwise files get their numbers and receive what libraries print."""
    descriptor = 0
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
        os.set_inheritable(descriptor, descriptor <= 2)
    os.close(descriptor)
