"""Processes that tests wait for."""

import os
import time
from pathlib import Path

import pytest


def wait_until(holds, what):
    """Long enough for the slowest machine; a test that passes does not wait."""
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen")
        time.sleep(0.05)


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def running(folder):
    return [pid for pid in map(int, os.listdir(folder)) if is_running(pid)]
