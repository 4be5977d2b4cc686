"""Facts that a measurement depends on: machine, versions, commit."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import psutil

from limae_jax.runs.directory import versions

Row = dict[str, Any]

_LOAD_AT_START = os.getloadavg()[0]


def host() -> Row:
    """Returns facts about the host. `load_average` is from the start: above about 0.5, other processes were running."""
    return {
        **versions(),
        "backend": jax.default_backend(),
        "cpu": _cpu_model(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average": round(_LOAD_AT_START, 2),
    }


def _cpu_model() -> str | None:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes rows to a JSON file, with the facts about the host."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": host(), "rows": list(rows)}, indent=1) + "\n")
