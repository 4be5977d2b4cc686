"""The workers' latest observations and next actions, in memory shared with the pool.

The memory has no name, only file descriptors: the system frees it when the last process that holds one has ended,
however it ended.
"""

from __future__ import annotations

import mmap
import os

import numpy as np

from limae_jax.environments.workers.records import GameInfo

_STEPS = ("obs", "state", "avail", "alive", "reward", "terminal", "truncated")


def create_memory() -> int:
    """Returns a file descriptor of empty memory, which workers can inherit."""
    return os.memfd_create("limae_jax_games")


def layout(info: GameInfo) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Returns shape and dtype of each array of one worker; see `records.Steps`. Widest dtypes first, for alignment.

    `action` is each agent's action in the game's numbering.
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
    """One array [W, ...] for each entry of `layout`, shared by all processes."""

    def __init__(self, memory: int, info: GameInfo, num_workers: int):
        """Maps the arrays, after enlarging the memory if needed.

        Args:
            memory: file descriptor from `create_memory`.
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
        """Returns a worker's part of each array, as writable views."""
        return {name: array[worker, ...] for name, array in self._arrays.items()}

    def command(self, action: np.ndarray) -> None:
        """Sets the workers' next actions, [W, A]."""
        self._arrays["action"][:] = action

    def copies(self) -> dict[str, np.ndarray]:
        """Returns copies of the arrays of `records.Steps`."""
        return {name: self._arrays[name].copy() for name in _STEPS}

    def further(self) -> dict[str, np.ndarray]:
        """Returns copies of the arrays specific to this kind of game; see `records.GameInfo`."""
        return {name: self._arrays[name].copy() for name in self._further}
