"""Malformed command lines, made up at random: each is answered in a few lines, at once, and nothing is written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, str(Path(__file__).parent / "malformed.py")]


@pytest.mark.parametrize("count", [60, pytest.param(600, marks=pytest.mark.exhaustive)])
def test_malformed_command_lines(count):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*COMMAND, str(count)], env=environment, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
