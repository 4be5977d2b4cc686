"""Who holds a run directory, on file systems with locks and without, and after kills."""

import ast
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import limae_jax
from limae_jax.config import RunConfig, TrainConfig
from limae_jax.errors import InputError
from limae_jax.runs.lock import ElsewhereError, locked
from limae_jax.runs.stored import LOCK_FILE, SOFT_LOCK_FILE, check_run_dir

pytestmark = pytest.mark.slow

NO_LOCKS = [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK]
HOLDER = """
import errno, fcntl, signal, sys
from pathlib import Path
from limae_jax.runs.lock import locked

def refuse(*_):
    raise OSError(int(sys.argv[2]), "no locks")

if sys.argv[2] != "0":
    fcntl.flock = refuse
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture
def without_locks(monkeypatch):
    """Makes a file system of them all that answers with an error number; 0 leaves them as they are."""

    def answer(number):
        def refuse(*_):
            raise OSError(number, os.strerror(number))

        if number:
            monkeypatch.setattr(fcntl, "flock", refuse)

    return answer


def test_a_run_that_is_refused_leaves_no_directory(tmp_path):
    """Directories that were made for it go, those that were there or hold something stay."""
    there = tmp_path / "runs"
    there.mkdir()
    with pytest.raises(InputError, match="no such game"), locked(there / "new" / "run"):
        assert (there / "new" / "run").is_dir()
        raise InputError("no such game")
    assert list(there.iterdir()) == []
    with pytest.raises(InputError, match="no such game"), locked(there / "new" / "run"):
        (there / "new" / "run" / "config.yaml").touch()
        raise InputError("no such game")
    assert [path.name for path in (there / "new" / "run").iterdir()] == ["config.yaml"]
    (there / "empty").mkdir()
    with locked(there / "empty"):
        pass
    assert (there / "empty").is_dir()


@pytest.fixture
def holder(tmp_path):
    """Another process that holds `tmp_path / "run"`; killed at the end if it still runs."""
    started = []

    def start(number):
        command = [sys.executable, "-c", HOLDER, str(tmp_path / "run"), str(number)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True))
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=60)


@pytest.mark.parametrize("number", [0, *NO_LOCKS])
def test_one_at_a_time_and_the_others_are_told_who(tmp_path, without_locks, number):
    without_locks(number)
    run_dir = tmp_path / "new" / "run"
    for _ in range(2):
        with locked(run_dir) as told:
            assert len(told) == (number != 0)
            assert all("has no locks" in line and SOFT_LOCK_FILE in line for line in told)
            who = rf"another process is training it \({os.getpid()} on {socket.gethostname()}\); "
            with pytest.raises(ElsewhereError, match=who), locked(run_dir):
                pass
    assert not (run_dir / SOFT_LOCK_FILE).exists()
    # What is left is nothing that would keep a run from starting there.
    check_run_dir(TrainConfig(run=RunConfig(dir=str(run_dir))))


@pytest.mark.parametrize("number", [0, errno.ENOSYS])
def test_a_killed_process_keeps_nobody_out_on_its_machine(tmp_path, without_locks, holder, number):
    without_locks(number)
    process = holder(number)
    file = tmp_path / "run" / (SOFT_LOCK_FILE if number else LOCK_FILE)
    with pytest.raises(ElsewhereError, match=rf"\({process.pid} on "), locked(tmp_path / "run"):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert file.exists()
    check_run_dir(TrainConfig(run=RunConfig(dir=str(tmp_path / "run"))))
    with locked(tmp_path / "run"):
        pass
    assert not (tmp_path / "run" / SOFT_LOCK_FILE).exists()


@pytest.mark.parametrize("number", [0, errno.ENOSYS])
def test_what_another_machine_left_is_named(tmp_path, without_locks, number):
    """Also where this machine has locks on the same folder, and the other one has not."""
    without_locks(number)
    (tmp_path / SOFT_LOCK_FILE).write_text("12\nelsewhere\n345\n")
    message = rf"another process is training it \(12 on elsewhere\); .* delete {SOFT_LOCK_FILE} there if it is gone$"
    with pytest.raises(ElsewhereError, match=message), locked(tmp_path):
        pass
    (tmp_path / SOFT_LOCK_FILE).unlink()
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("record", [b"", b"\xff\n\x1b[2J", b"a\n" * 5000, b"7\nh\x1b[31mst\n"])
def test_a_record_of_the_holder_may_be_anything(tmp_path, record):
    with locked(tmp_path):
        (tmp_path / LOCK_FILE).write_bytes(record)
        with pytest.raises(ElsewhereError) as caught, locked(tmp_path):
            pass
    message = str(caught.value)
    assert message.isprintable() and "another process" in message and len(message) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_other_errors_stay_what_they_are(tmp_path, without_locks, number):
    without_locks(number)
    with pytest.raises(OSError, match=os.strerror(number)) as caught, locked(tmp_path):
        pass
    assert caught.value.errno == number and not isinstance(caught.value, InputError)


def test_nothing_is_imported_that_only_posix_has():
    """At the top of a file; a worker of StarCraft II is a process of its own, on Linux only."""
    only_posix = {"fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog"}
    package = Path(limae_jax.__file__).parent
    found = [
        (path.name, name)
        for path in package.rglob("*.py")
        if path.name not in ("battle.py", "worker.py", "leftovers.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([item.name for item in node.names] if isinstance(node, ast.Import) else [node.module])
        if str(name).partition(".")[0] in only_posix
    ]
    assert found == []
