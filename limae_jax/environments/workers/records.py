"""Data returned by the games: sizes, steps and records of episodes.

Axes: W worker, A agent, U action, O observation, G state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class GameInfo:
    """Sizes of a game.

    Attributes:
        name: name of the game or map.
        num_agents, obs_size, state_size, num_actions: A, O, G and U.
        episode_limit: maximum number of steps in an episode.
        further: arrays in addition to those of `Steps`, name -> (shape, name of the dtype).
        game_version: such as "4.10"; None until a game has run, or if the game does not report one.
    """

    name: str
    num_agents: int
    obs_size: int
    state_size: int
    num_actions: int
    episode_limit: int
    further: Mapping[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    game_version: str | None = None


@dataclass(frozen=True)
class EpisodeRecord:
    """Record of a finished episode.

    Attributes:
        worker: number of the worker.
        length: number of steps.
        episode_return: sum of the team's rewards, in the game's own units.
        truncated: whether the time limit ended the episode.
    """

    worker: int
    length: int
    episode_return: float
    truncated: bool

    @property
    def outcome(self) -> dict[str, float]:
        """The episode's outcome, by `EnvSpec.outcome_names`; "win" is 1 if it was won."""
        return {}


@dataclass
class Steps:
    """A timestep of every worker, see `types.Timestep`. The arrays are copies.

    Attributes:
        obs: [W, A, O] float32.
        state: [W, G] float32.
        avail: [W, A, U] bool; dead agents have one legal action.
        alive: [W, A] bool.
        reward: [W] float32, unscaled; 0 at the start of an episode.
        is_first: [W] bool, an episode starts here.
        terminal: [W] bool, the game's rules ended the episode.
        truncated: [W] bool, the time limit ended the episode.
        is_discarded: [W] bool, the game failed during the step that led here. The worker's unfinished episode is
            discarded; this is the first timestep of a new episode in a new game.
        facts: additional data specific to the kind of game; None if not requested.
    """

    obs: np.ndarray
    state: np.ndarray
    avail: np.ndarray
    alive: np.ndarray
    reward: np.ndarray
    is_first: np.ndarray
    terminal: np.ndarray
    truncated: np.ndarray
    is_discarded: np.ndarray
    facts: Any = None
