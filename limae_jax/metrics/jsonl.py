"""metrics.jsonl: one JSON object per line, on disk when `write` returns, without lost or doubled rows after a stop."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from limae_jax.errors import InputError
from limae_jax.metrics.schema import Row, problem_of, to_plain


class JsonlWriter:
    """Appends rows to a file, after removing a last line that a killed process or a power cut left unfinished."""

    def __init__(self, path: Path):
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()
        lines = self._path.read_bytes().splitlines(keepends=True)
        if lines and _parse(lines[-1]) is None:
            os.truncate(self._path, sum(map(len, lines[:-1])))
        elif lines and not lines[-1].endswith(b"\n"):
            with self._path.open("ab") as file:
                file.write(b"\n")

    def write(self, rows: list[Row]) -> None:
        """Appends `rows`; numbers that are not finite become null."""
        with self._path.open("ab") as file:
            file.write(_encode(rows))
            _flush(file)

    def rewrite(self, rows: list[Row]) -> None:
        """Replaces the content by `rows` atomically: after a kill the file has either the old or the new rows."""
        temporary = self._path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(_encode(rows))
            _flush(file)
        os.replace(temporary, self._path)


def read_rows(path: Path) -> list[Row]:
    """Reads all rows of a file, none if there is no file. An unfinished last line is left out.

    Raises:
        InputError: another line is not a row, or the file cannot be read.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().splitlines() if os.path.lexists(path) else []
    except OSError as error:
        raise InputError(f"metrics={path}: cannot be read ({error.strerror}); put the file back from a copy") from None
    if lines and _parse(lines[-1]) is None:
        del lines[-1]
    rows = []
    for number, line in enumerate(lines, start=1):
        row = _parse(line)
        if problem := problem_of(row):
            raise InputError(f"metrics={path}: line {number} {problem}; put the file back from a copy")
        rows.append(row)
    return rows


def _parse(line: bytes) -> Any:
    """Parses a line; None if the line is not valid JSON, such as an unfinished line."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _encode(rows: list[Row]) -> bytes:
    return "".join(json.dumps(to_plain(row), allow_nan=False) + "\n" for row in rows).encode()


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
