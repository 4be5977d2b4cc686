"""Locks that let only one process at a time use a run directory. The only module that imports filelock."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import jax
from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from limae_jax.checkpoints.view import check_place
from limae_jax.checks import printable
from limae_jax.errors import InputError
from limae_jax.runs.stored import LOCK_FILE, SOFT_LOCK_FILE

# How a file system says that it has no locks.
_HAS_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK)
_LONGEST_RECORD = 1000
_PATIENCE_S = 0.5


class ElsewhereError(InputError):
    """Another process trains a run, or has started it meanwhile; the run itself is fine."""


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[list[str]]:
    """Locks a run directory, so that two processes never train the same run.

    The operating system releases the lock when the process ends, however it ends. On a file system without locks, a
    file that names the process is used instead; on the same machine, the file of a killed process is ignored.

    Yields:
        Warnings for the user, if any.

    Raises:
        ElsewhereError: another process holds the lock.
        InputError: the directory cannot be created, or cannot hold checkpoints.
    """
    if jax.process_index() != 0:
        yield []
        return
    check_place(run_dir)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_directory(run_dir))
        try:
            stack.enter_context(_system_lock(run_dir))
            told = []
        except OSError as error:
            if error.errno not in _HAS_NO_LOCKS:
                raise
            stack.enter_context(_soft_lock(run_dir))
            told = [_told_of_no_locks(run_dir)]
        yield told


@contextlib.contextmanager
def _directory(run_dir: Path) -> Iterator[None]:
    """Creates missing directories, and removes them again if nothing was written there."""
    missing = [place for place in (run_dir, *run_dir.parents) if not place.exists()]
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"run.dir={run_dir}: cannot be made ({error.strerror}); choose another") from None
    try:
        yield
    finally:
        # The system does not remove a directory that is not empty.
        with contextlib.suppress(OSError):
            for place in missing:
                place.rmdir()


def _told_of_no_locks(run_dir: Path) -> str:
    file = run_dir / SOFT_LOCK_FILE
    return (
        f"the file system of {run_dir} has no locks, so the file {file.name} there keeps other processes out; should"
        " another machine lose power while it trains this run, delete that file"
    )


@contextlib.contextmanager
def _system_lock(run_dir: Path) -> Iterator[None]:
    path = run_dir / LOCK_FILE
    lock = FileLock(path, blocking=False, fallback_to_soft=False, on_acquired=_sign)
    _acquire(lock, run_dir, "wait for it or stop it")
    try:
        # A machine that mounts the same folder without locks may hold it.
        if (run_dir / SOFT_LOCK_FILE).exists():
            with _soft_lock(run_dir):
                pass
        yield
    finally:
        # Whoever opened it meanwhile sees that it is gone, and opens it anew.
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


@contextlib.contextmanager
def _soft_lock(run_dir: Path) -> Iterator[None]:
    path = run_dir / SOFT_LOCK_FILE
    # Not at once: on some file systems a lock that is left over is removed in one attempt and taken in the next.
    lock = SoftFileLock(path, timeout=_PATIENCE_S)
    _acquire(lock, run_dir, f"wait for it, or delete {path.name} there if it is gone")
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: BaseFileLock, run_dir: Path, fix: str) -> None:
    try:
        lock.acquire()
    except Timeout:
        who = _holder(Path(lock.lock_file))
        raise ElsewhereError(f"RUN_DIR={run_dir}: another process is training it{who}; {fix}") from None


def _sign(descriptor: int) -> None:
    """Writes the holder into the lock file, in filelock's format, for the errors of other processes; best effort."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n{socket.gethostname()}\n".encode())


def _holder(path: Path) -> str:
    try:
        pid, host = path.read_text(encoding="utf-8", errors="replace")[:_LONGEST_RECORD].split("\n")[:2]
    except (OSError, ValueError):
        return ""
    # Behind a question mark filelock tells apart what one host runs.
    return f" ({printable(pid)} on {printable(host.partition('?')[0])})"
