"""metrics.jsonl: one JSON object a line, on the disk when `write` returns, and exact across interruptions."""

from __future__ import annotations

import json
import os
from pathlib import Path

from limae_jax.errors import InputError
from limae_jax.metrics.schema import Row, to_plain


class JsonlWriter:
    """Appends rows to a file. A last line that a killed process left unfinished is removed first."""

    def __init__(self, path: Path):
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()
        content = self._path.read_bytes()
        if content and not content.endswith(b"\n"):
            os.truncate(self._path, content.rfind(b"\n") + 1)

    def write(self, rows: list[Row]) -> None:
        """Appends `rows`; numbers that are not finite become null."""
        with self._path.open("ab") as file:
            file.write(_encode(rows))
            _flush(file)

    def rewrite(self, rows: list[Row]) -> None:
        """Replaces the whole content by `rows`; killed at any moment, the file has the old or the new."""
        temporary = self._path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(_encode(rows))
            _flush(file)
        os.replace(temporary, self._path)


def read_rows(path: Path) -> list[Row]:
    """All rows of a file; none if there is no file. A last line that was never finished is left out.

    Raises:
        InputError: another line is not a row.
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif number < len(lines):
            raise InputError(f"metrics={path}: line {number} is not a JSON object; remove it or put the file back")
    return rows


def _encode(rows: list[Row]) -> bytes:
    return "".join(json.dumps(to_plain(row), allow_nan=False) + "\n" for row in rows).encode()


def _flush(file) -> None:
    file.flush()
    os.fsync(file.fileno())
