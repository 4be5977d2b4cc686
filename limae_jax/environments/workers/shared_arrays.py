"""What the workers saw last and are to do next, in memory that they share with the pool.

The memory has no name, only file descriptors: the system frees it when the last process that has one is gone, however
that process ended.
"""

from __future__ import annotations

import mmap
import os

import numpy as np

from limae_jax.environments.workers.records import GameInfo

_STEPS = ("obs", "state", "avail", "alive", "reward", "terminal", "truncated")


def create_memory() -> int:
    """A file descriptor of memory of size 0, which a worker may inherit."""
    return os.memfd_create("limae_jax_games")


def layout(info: GameInfo) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and type of each array of one worker; see `records.Steps`. The widest types come first, for alignment.

    `action` is the game's number for each agent.
    """
    num_agents = info.num_agents
    arrays = {
        "obs": ((num_agents, info.obs_size), "float32"),
        "state": ((info.state_size,), "float32"),
        **info.further,
        "action": ((num_agents,), "int32"),
        "reward": ((), "float32"),
        "avail": ((num_agents, info.num_actions), "bool"),
        "alive": ((num_agents,), "bool"),
        "terminal": ((), "bool"),
        "truncated": ((), "bool"),
    }
    typed = {name: (shape, np.dtype(kind)) for name, (shape, kind) in arrays.items()}
    return dict(sorted(typed.items(), key=lambda item: -item[1][1].itemsize))


class SharedArrays:
    """One array [W, ...] for each entry of `layout`, the same memory in every process."""

    def __init__(self, memory: int, info: GameInfo, num_workers: int):
        """Makes room for the arrays, or finds them.

        Args:
            memory: from `create_memory`.
            info: sizes of the game.
            num_workers: W.
        """
        shapes = {name: ((num_workers, *shape), dtype) for name, (shape, dtype) in layout(info).items()}
        sizes = {name: int(np.prod(shape)) * dtype.itemsize for name, (shape, dtype) in shapes.items()}
        total = max(1, sum(sizes.values()))
        if os.fstat(memory).st_size < total:
            os.ftruncate(memory, total)
        view, offset = mmap.mmap(memory, total), 0
        self._further = tuple(info.further)
        self._arrays: dict[str, np.ndarray] = {}
        for name, (shape, dtype) in shapes.items():
            self._arrays[name] = np.ndarray(shape, dtype, buffer=view, offset=offset)
            offset += sizes[name]

    def of(self, worker: int) -> dict[str, np.ndarray]:
        """A worker's part of each array, to read and to write."""
        return {name: array[worker, ...] for name, array in self._arrays.items()}

    def command(self, action: np.ndarray) -> None:
        """Sets what the workers are to do, [W, A]."""
        self._arrays["action"][:] = action

    def copies(self) -> dict[str, np.ndarray]:
        """Those of `records.Steps`, to keep."""
        return {name: self._arrays[name].copy() for name in _STEPS}

    def further(self) -> dict[str, np.ndarray]:
        """Those that only this kind of game has, to keep; see `records.GameInfo`."""
        return {name: self._arrays[name].copy() for name in self._further}
