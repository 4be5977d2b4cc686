"""What the workers saw last and are to do next, in memory that they share with the pool.

The memory has no name, only file descriptors: the system frees it when the last process that has one is gone, however
that process ended.
"""

from __future__ import annotations

import mmap
import os

import numpy as np

from limae_jax.environments.smac.records import FACT_COLUMNS, Facts, GameInfo

_STEPS = ("obs", "state", "avail", "reward", "terminal", "truncated")


def create_memory() -> int:
    """A file descriptor of memory of size 0, which a worker may inherit."""
    return os.memfd_create("limae_jax_smac")


def layout(info: GameInfo) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and type of each array of one worker; see `records.Steps`. The widest types come first, for alignment.

    `action` is SMAC's number for each agent.
    """
    num_agents, num_enemies, num_facts = info.num_agents, info.num_enemies, len(FACT_COLUMNS)
    return {
        "obs": ((num_agents, info.obs_size), np.float32),
        "state": ((info.state_size,), np.float32),
        "allies": ((num_agents, num_facts), np.float32),
        "enemies": ((num_enemies, num_facts), np.float32),
        "enemy_slots": ((num_enemies,), np.int32),
        "action": ((num_agents,), np.int32),
        "reward": ((), np.float32),
        "avail": ((num_agents, info.num_actions), np.bool_),
        "terminal": ((), np.bool_),
        "truncated": ((), np.bool_),
    }


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
        sizes = {name: int(np.prod(shape)) * np.dtype(dtype).itemsize for name, (shape, dtype) in shapes.items()}
        total = max(1, sum(sizes.values()))
        if os.fstat(memory).st_size < total:
            os.ftruncate(memory, total)
        view, offset = mmap.mmap(memory, total), 0
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

    def facts(self) -> Facts:
        """The units, to keep."""
        return Facts(**{name: self._arrays[name].copy() for name in ("allies", "enemies", "enemy_slots")})
