"""Temporary folders of pools, and the cleanup after killed pools, which leave a folder and possibly games behind.

A pool holds a lock on a file in its folder while it lives. The system releases the lock however the pool ends, so a
folder whose lock is free has no owner.
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
# Seconds to wait for killed processes to end.
_GONE_S = 5.0


def make_folder() -> tuple[Path, int]:
    """Creates a temporary folder that `sweep` leaves alone while its lock is held.

    Returns:
        The folder, and the lock's file descriptor; close it after removing the folder.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    unlocked = folder / f"{_OWNER}.new"
    lock = os.open(unlocked, os.O_CREAT | os.O_RDWR, 0o600)
    with contextlib.suppress(OSError):  # a file system without locks: this folder is never swept
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Renamed only once locked, so that no other process finds an owner file with a free lock.
        unlocked.rename(folder / _OWNER)
    return folder, lock


def sweep() -> None:
    """Ends the games and removes the folders of this user's dead pools. Leaves doubtful cases alone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            _sweep(folder)


def _sweep(folder: Path) -> None:
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        return
    lock = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
    try:
        # Fails while the owner lives, or while another program sweeps this folder.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _end_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _end_processes(folder: Path) -> None:
    """Kills the workers and games whose TMPDIR is in `folder`. Folder names are unique, so no others match."""
    import psutil

    killed, home = [], os.path.realpath(folder)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if os.path.dirname(os.path.realpath(process.environ().get("TMPDIR", "/"))) == home:
                process.kill()
                killed.append(process)
    psutil.wait_procs(killed, timeout=_GONE_S)
