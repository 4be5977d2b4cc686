"""What a pool and its worker processes say to each other. The arrays of a step go through shared memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from limae_jax.environments.smac.records import EpisodeRecord
from limae_jax.environments.smac.settings import GameSettings


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
    """Play one joint action, one number for each agent."""

    action: tuple[int, ...]


@dataclass(frozen=True)
class SaveReplay:
    """Save a replay of the game so far into a folder."""

    folder: Path


Command = Reset | Act | SaveReplay


@dataclass(frozen=True)
class Done:
    """A command was carried out; observations and units lie in the shared memory.

    Attributes:
        reward: of the action, 0 of anything else.
        terminal, truncated: see `records.Steps`.
        record: of the episode if it ended.
        game_version: of StarCraft II, if it is known.
    """

    reward: float = 0.0
    terminal: bool = False
    truncated: bool = False
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
