"""Processes that end with the one that started them, however that ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from typing import Any

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


def end_children_with_this_process() -> None:
    """Has the kernel kill what this process starts from now on, by `subprocess`, as soon as this process is gone.

    That includes an end by SIGKILL, of which nobody in the process hears. To be called before the children's own
    modules look at `subprocess`, in the thread that will start them: it is that thread's end which counts. A kernel
    without parent-death signals (all but Linux's) leaves the children to `leftovers.sweep`.
    """
    with contextlib.suppress(OSError, AttributeError):
        set_process_option = ctypes.CDLL(None).prctl
        set_process_option.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
        parent = os.getpid()

        def die_with_parent() -> None:
            """Runs in the child, between fork and exec; nothing is imported or allocated for it there."""
            set_process_option(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it had gone before the signal was set
                os._exit(1)

        class MortalPopen(subprocess.Popen):
            def __init__(self, *arguments: Any, **options: Any):
                super().__init__(*arguments, **{"preexec_fn": die_with_parent, **options})

        subprocess.Popen = MortalPopen  # type: ignore[misc]
