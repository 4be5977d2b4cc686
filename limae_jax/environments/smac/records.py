"""What comes back from the games: their sizes, what a step showed, and how episodes ended.

Axes: W worker, A agent, E enemy, U action, O observation, G state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Game loops in a second of StarCraft II at the speed that SMAC counts in ("faster").
LOOPS_PER_SECOND = 22.4

# Columns of `Facts.allies` and `Facts.enemies`.
FACT_COLUMNS = ("unit_type", "health", "health_max", "shield", "shield_max", "x", "y", "weapon_cooldown")


@dataclass(frozen=True)
class GameInfo:
    """Sizes of a game and how it is played.

    Attributes:
        num_agents, num_enemies: A and E.
        obs_size, state_size, num_actions: O, G and U in SMAC's own layout.
        episode_limit: most steps of an episode.
        game_version: of StarCraft II, such as "4.10"; None until a game has run.
    """

    map_name: str
    num_agents: int
    num_enemies: int
    obs_size: int
    state_size: int
    num_actions: int
    episode_limit: int
    difficulty: str
    step_mul: int
    game_version: str | None = None


@dataclass(frozen=True)
class EpisodeRecord:
    """A finished episode.

    Attributes:
        worker: who played it.
        won: the enemies are dead and an ally lives.
        length: steps.
        seconds: game time at "faster" speed.
        episode_return: sum of rewards in SMAC's own units; 20 is about the most.
        dead_allies, dead_enemies: units lost.
        truncated: the time limit ended it and no team was dead.
    """

    worker: int
    won: bool
    length: int
    seconds: float
    episode_return: float
    dead_allies: int
    dead_enemies: int
    truncated: bool


@dataclass
class Facts:
    """The units as the game shows them, for translation into another game's observations.

    Attributes:
        allies: [W, A, 8] float32, columns FACT_COLUMNS: index into `scenarios.UNIT_TYPES` (-1 where SMAX has no such
            unit), health and shield points, cells, game loops until the weapon is ready. The game does not tell the
            enemies' cooldowns: 0.
        enemies: [W, E, 8] float32, likewise, ordered by type as in `maps.SMAC_MAPS`, then by the game's number of
            the unit. The dead keep their row, with health 0.
        enemy_slots: [W, E] int32, SMAC's number of the enemy in each row: attack action - FIRST_ATTACK_ACTION.
    """

    allies: np.ndarray
    enemies: np.ndarray
    enemy_slots: np.ndarray


@dataclass
class Steps:
    """What every worker's team meets before it acts, and how it got there; see `types.Timestep`. Own copies.

    Attributes:
        obs: [W, A, O] float32.
        state: [W, G] float32.
        avail: [W, A, U] bool; of the dead, no-op only.
        alive: [W, A] bool.
        reward: [W] float32, SMAC's own; 0 at an episode's start.
        is_first: [W] bool, an episode starts here.
        terminal: [W] bool, a team is dead: the episode ended.
        truncated: [W] bool, the time limit ended the episode, and no team is dead.
        is_discarded: [W] bool, the game failed during the step that led here. What the worker played of that episode
            counts for nothing; this is the first timestep of a new one, of a new game.
        facts: the units; None if the games do not show them, see `settings.GameSettings`.
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
    facts: Facts | None
