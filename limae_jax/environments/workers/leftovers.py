"""The temporary folders of pools, and what a pool that was killed leaves behind: its folder, perhaps games.

A pool holds a lock on a file in its folder for as long as it lives. The system takes the lock away however the pool
ends, so a folder whose lock is free has lost its owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "limae_jax_games_"
_OWNER = "owner.lock"
# How long a killed process may take to be gone.
_GONE_S = 5.0


def make_folder() -> tuple[Path, int]:
    """A new temporary folder that `sweep` leaves alone for as long as its lock is held.

    Returns:
        The folder, and the lock's file descriptor, to be closed once the folder has been removed.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    unlocked = folder / f"{_OWNER}.new"
    lock = os.open(unlocked, os.O_CREAT | os.O_RDWR, 0o600)
    with contextlib.suppress(OSError):  # a file system without locks: this folder is never swept
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Only now under its name, so that nobody ever finds it there and free.
        unlocked.rename(folder / _OWNER)
    return folder, lock


def sweep() -> None:
    """Ends games and removes folders of this user's pools whose program is dead. Whatever is not surely that stays."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            _sweep(folder)


def _sweep(folder: Path) -> None:
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        return
    lock = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
    try:
        # Fails while the owner lives, and while another program sweeps here.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _end_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _end_processes(folder: Path) -> None:
    """Kills workers and games of a folder: those whose own temporary folder is in it. Its name is used only once."""
    import psutil

    killed, home = [], os.path.realpath(folder)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if os.path.dirname(os.path.realpath(process.environ().get("TMPDIR", "/"))) == home:
                process.kill()
                killed.append(process)
    psutil.wait_procs(killed, timeout=_GONE_S)
