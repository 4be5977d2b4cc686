"""What a worker process plays. Each kind of game has a class of its own with this interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from limae_jax.environments.workers.records import EpisodeRecord, GameInfo


class GameSettings(Protocol):
    """One worker's game, as plain data: a frozen dataclass that can be pickled.

    Attributes:
        name: of the game, for messages.
        seed: of the game. A worker of a pool adds its number to it.
        timeout_s: seconds without an answer after which the game counts as hung.
        game: "module:name" of a function (settings, folder) -> `WorkerGame`, called in the worker; the pool's temporary
            folder is the same for all workers.
    """

    @property
    def name(self) -> str:
        """Of the game, for messages."""
        ...

    @property
    def seed(self) -> int:
        """Of the game."""
        ...

    @property
    def timeout_s(self) -> float:
        """Seconds without an answer after which the game counts as hung."""
        ...

    @property
    def game(self) -> str:
        """Where what makes the game is, "module:name"."""
        ...


class Move(NamedTuple):
    """What a joint action brought.

    Attributes:
        reward: of the team.
        terminal: the episode ended by itself.
        truncated: the time limit ended it.
    """

    reward: float
    terminal: bool
    truncated: bool


class WorkerGame(Protocol):
    """One game. An exception in any method counts as a failure, after which the game is replaced."""

    @property
    def info(self) -> GameInfo:
        """Sizes; known before the first `reset`."""
        ...

    @property
    def can_break_off(self) -> bool:
        """Whether the episode under way may be abandoned by a `reset`; else the game is replaced."""
        ...

    @property
    def version(self) -> str | None:
        """Of the game, see `GameInfo.game_version`."""
        ...

    def reset(self) -> None:
        """Starts an episode."""
        ...

    def step(self, action: list[int]) -> Move:
        """Plays one joint action, a number for each agent; never called after an episode's end."""
        ...

    def observe(self) -> Mapping[str, Any]:
        """What the team meets now: obs, state, avail and alive as in `Steps`, without W, and `GameInfo.further`."""
        ...

    def record(self, worker: int, length: int, episode_return: float, truncated: bool) -> EpisodeRecord:
        """The record of the episode that has just ended."""
        ...

    def close(self) -> None:
        """Ends the game."""
        ...
