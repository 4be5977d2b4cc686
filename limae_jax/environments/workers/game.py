"""The interface of the games that worker processes play; one class for each kind of game."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from limae_jax.environments.workers.records import EpisodeRecord, GameInfo


class GameSettings(Protocol):
    """Settings of one worker's game: a frozen dataclass that can be pickled.

    Attributes:
        name: name of the game, for messages.
        seed: seed of the game; a pool adds the worker's number.
        timeout_s: seconds without an answer after which the game counts as hung.
        game: "module:name" of a function (settings, folder) -> `WorkerGame`, called in the worker; all workers get the
            pool's temporary folder.
    """

    @property
    def name(self) -> str:
        """Name of the game, for messages."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the game."""
        ...

    @property
    def timeout_s(self) -> float:
        """Seconds without an answer after which the game counts as hung."""
        ...

    @property
    def game(self) -> str:
        """Function that makes the game, "module:name"."""
        ...


class Move(NamedTuple):
    """The result of a joint action.

    Attributes:
        reward: the team's reward.
        terminal: whether the game's rules ended the episode.
        truncated: whether the time limit ended the episode.
    """

    reward: float
    terminal: bool
    truncated: bool


class WorkerGame(Protocol):
    """A game. An exception in any method counts as a failure, after which the game is replaced."""

    @property
    def info(self) -> GameInfo:
        """Sizes of the game; known before the first `reset`."""
        ...

    @property
    def can_break_off(self) -> bool:
        """Whether `reset` may abandon the running episode; else the game is replaced."""
        ...

    @property
    def version(self) -> str | None:
        """Version of the game, see `GameInfo.game_version`."""
        ...

    def reset(self) -> None:
        """Starts an episode."""
        ...

    def step(self, action: list[int]) -> Move:
        """Plays one joint action, a number for each agent. Not called after the end of an episode."""
        ...

    def observe(self) -> Mapping[str, Any]:
        """Returns obs, state, avail and alive as in `Steps`, without axis W, and the arrays of `GameInfo.further`."""
        ...

    def record(self, worker: int, length: int, episode_return: float, truncated: bool) -> EpisodeRecord:
        """Returns the record of the episode that has just ended."""
        ...

    def close(self) -> None:
        """Closes the game."""
        ...
