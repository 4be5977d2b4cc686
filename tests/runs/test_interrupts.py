"""Signals that end a command which has nothing to save."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from limae_jax.cli.main import main
from limae_jax.runs.interrupts import STOPS, Interrupted, interruptible

# Swallows a key pressed while it is imported, as some packages do.
SWALLOWS = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
except BaseException:
    pass
"""
IMPORTS_IT = """
import sys
from limae_jax.cli import main as cli
cli.COMMANDS["list"] = lambda args: __import__("swallows") and 0
sys.exit(cli.main(["list", "systems"]))
"""


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "limae-jax: interrupted\n"),
        (signal.SIGTERM, "limae-jax: stopped by SIGTERM\n"),
        (signal.SIGHUP, "limae-jax: stopped by SIGHUP\n"),
    ],
)
@pytest.mark.parametrize("command", [["list", "systems"], ["evaluate", "run"], ["report", "run", "--out", "out"]])
def test_a_signal_ends_a_command_with_one_line(capsys, monkeypatch, number, said, command):
    before = [signal.getsignal(one) for one in STOPS]
    monkeypatch.setitem(
        sys.modules["limae_jax.cli.main"].COMMANDS, command[0], lambda args: os.kill(os.getpid(), number) or 0
    )
    assert main(command) == 128 + number
    assert capsys.readouterr() == ("", said)
    assert [signal.getsignal(one) for one in STOPS] == before


def test_nohup_is_obeyed(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(Interrupted):
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_key_pressed_during_an_import_is_not_lost(tmp_path):
    Path(tmp_path / "swallows.py").write_text(SWALLOWS, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-c", IMPORTS_IT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "limae-jax: interrupted\n")
