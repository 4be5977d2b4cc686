"""What comes back from the games: their sizes, what a step showed, and how episodes ended.

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
        name: of the game or map.
        num_agents, obs_size, state_size, num_actions: A, O, G and U.
        episode_limit: most steps of an episode.
        further: arrays that the game shows beside those of `Steps`, name -> (shape, name of the type).
        game_version: such as "4.10"; None until a game has run, or where it does not tell.
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
    """A finished episode.

    Attributes:
        worker: who played it.
        length: steps.
        episode_return: sum of the team's rewards, in the game's own units.
        truncated: the time limit ended it.
    """

    worker: int
    length: int
    episode_return: float
    truncated: bool

    @property
    def outcome(self) -> dict[str, float]:
        """What the episode came to, by `EnvSpec.outcome_names`; "win" is 1 if it was won."""
        return {}


@dataclass
class Steps:
    """What every worker's team meets before it acts, and how it got there; see `types.Timestep`. Own copies.

    Attributes:
        obs: [W, A, O] float32.
        state: [W, G] float32.
        avail: [W, A, U] bool; the dead have one legal action.
        alive: [W, A] bool.
        reward: [W] float32, the game's own; 0 at an episode's start.
        is_first: [W] bool, an episode starts here.
        terminal: [W] bool, the episode ended, by itself.
        truncated: [W] bool, the time limit ended the episode.
        is_discarded: [W] bool, the game failed during the step that led here. What the worker played of that episode
            counts for nothing; this is the first timestep of a new one, of a new game.
        facts: what else a kind of game shows, in its own terms; None if nobody asked for it.
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
