"""Messages between a pool and its worker processes.

The arrays of a step are in shared memory, see `shared_arrays`; the usual command and answer are only wake-ups.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from limae_jax.environments.workers.game import GameSettings
from limae_jax.environments.workers.records import EpisodeRecord


class GameFailureError(Exception):
    """The game failed, but a new game may succeed. A worker answers with `Failed`."""


@dataclass(frozen=True)
class Task:
    """The first message to a worker.

    Attributes:
        settings: settings of the worker's game, with the worker's own seed.
        worker: number of the worker, less than W.
        num_workers: W.
        memory: file descriptor of the shared memory.
        folder: the pool's folder for temporary files.
        parent: process id of the pool.
    """

    settings: GameSettings
    worker: int
    num_workers: int
    memory: int
    folder: Path
    parent: int


@dataclass(frozen=True)
class Reset:
    """Start an episode, abandoning the running one.

    Attributes:
        pause_s: seconds to wait first.
        crashes: number of earlier failures of this worker's game; a replacement gets a different seed.
    """

    pause_s: float = 0.0
    crashes: int = 0


@dataclass(frozen=True)
class Act:
    """Play the joint action in the shared memory."""


@dataclass(frozen=True)
class Ask:
    """Call a method specific to this kind of game."""

    method: str
    arguments: tuple[Any, ...]


Command = Reset | Act | Ask


@dataclass(frozen=True)
class Done:
    """A command was carried out; the resulting arrays are in the shared memory.

    Attributes:
        record: record of the episode if it ended.
        game_version: version of the game after the start of an episode, if known.
    """

    record: EpisodeRecord | None = None
    game_version: str | None = None


@dataclass(frozen=True)
class Failed:
    """The game failed, or with `is_gone` the worker itself. The running episode is discarded."""

    error: str
    is_gone: bool = False


@dataclass(frozen=True)
class Refused:
    """The game cannot run with these settings; `error` says what the user must fix."""

    error: str


ACT, DONE = Act(), Done()


def send(connection: Connection, message: Any) -> None:
    """Sends a message; empty for ACT and DONE, the most frequent message of each direction."""
    connection.send_bytes(b"" if message is ACT or message is DONE else pickle.dumps(message))


def receive(connection: Connection, usual: Act | Done) -> Any:
    """Waits for a message.

    Args:
        connection: connection to the sender.
        usual: the meaning of an empty message: ACT from a pool, DONE from a worker.
    """
    data = connection.recv_bytes()
    return pickle.loads(data) if data else usual
