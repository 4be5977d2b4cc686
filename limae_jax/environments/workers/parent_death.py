"""Child processes that end with their parent, however the parent ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from typing import Any

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


def end_children_with_this_process() -> None:
    """Makes the kernel kill the children that this process starts by `subprocess` from now on, once it has ended.

    This covers an end by SIGKILL, which a process cannot handle. Call it before importing the modules that start
    children, and in the thread that starts them: the kernel sends the signal when that thread ends. Only Linux has
    parent-death signals; elsewhere `leftovers.sweep` ends the children.
    """
    with contextlib.suppress(OSError, AttributeError):
        set_process_option = ctypes.CDLL(None).prctl
        set_process_option.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
        parent = os.getpid()

        def die_with_parent() -> None:
            """Runs in the child between fork and exec, where imports and allocations are not safe."""
            set_process_option(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # the parent ended before the signal was set
                os._exit(1)

        class MortalPopen(subprocess.Popen):
            def __init__(self, *arguments: Any, **options: Any):
                super().__init__(*arguments, **{"preexec_fn": die_with_parent, **options})

        subprocess.Popen = MortalPopen  # type: ignore[misc]
