"""What a pool and its worker processes say to each other.

What a step consists of goes through shared memory, see `shared_arrays`; the usual command and the usual answer are then
a mere wake-up.
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
    """The game failed in a way that a new game may not. A worker answers with `Failed`."""


@dataclass(frozen=True)
class Task:
    """The first message to a worker.

    Attributes:
        settings: of its game; the seed is the worker's own.
        worker: its number, W or less.
        num_workers: W.
        memory: file descriptor of the shared memory.
        folder: of the pool, for temporary files.
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
    """Start an episode, abandoning one that is under way.

    Attributes:
        pause_s: seconds to wait first.
        crashes: how often this worker's game has failed before; a game that is replaced gets another seed.
    """

    pause_s: float = 0.0
    crashes: int = 0


@dataclass(frozen=True)
class Act:
    """Play the joint action in the shared memory."""


@dataclass(frozen=True)
class Ask:
    """Call a method that only this kind of game has."""

    method: str
    arguments: tuple[Any, ...]


Command = Reset | Act | Ask


@dataclass(frozen=True)
class Done:
    """A command was carried out; where it led lies in the shared memory.

    Attributes:
        record: of the episode if it ended.
        game_version: of the game, if an episode has just been started in it and it tells.
    """

    record: EpisodeRecord | None = None
    game_version: str | None = None


@dataclass(frozen=True)
class Failed:
    """The game failed, or with `is_gone` the worker itself. Its episode counts for nothing."""

    error: str
    is_gone: bool = False


@dataclass(frozen=True)
class Refused:
    """The game can never be played like this; `error` says what the user has to mend."""

    error: str


ACT, DONE = Act(), Done()


def send(connection: Connection, message: Any) -> None:
    """Sends a message: nothing but a length of 0 if it is ACT or DONE, the one of most steps in either direction."""
    connection.send_bytes(b"" if message is ACT or message is DONE else pickle.dumps(message))


def receive(connection: Connection, usual: Act | Done) -> Any:
    """Waits for a message.

    Args:
        connection: to whoever called `send`.
        usual: ACT or DONE, whichever comes from there.
    """
    data = connection.recv_bytes()
    return pickle.loads(data) if data else usual
