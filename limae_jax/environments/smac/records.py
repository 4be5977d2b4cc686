"""Data specific to StarCraft II games: results of battles, and units.

Axes: W worker, A agent, E enemy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limae_jax.environments.workers.records import EpisodeRecord

# StarCraft II's game loops per second at SMAC's game speed ("faster").
LOOPS_PER_SECOND = 22.4

# Columns of `Facts.allies` and `Facts.enemies`.
FACT_COLUMNS = ("unit_type", "health", "health_max", "shield", "shield_max", "x", "y", "weapon_cooldown")


@dataclass(frozen=True)
class BattleRecord(EpisodeRecord):
    """Record of a finished battle. The return is in SMAC's own units; its maximum is about 20.

    Attributes:
        won: whether all enemies are dead and an ally is alive. In a truncated battle both teams have survivors.
        seconds: game time at "faster" speed.
        dead_allies, dead_enemies: number of units lost.
    """

    won: bool
    seconds: float
    dead_allies: int
    dead_enemies: int

    @property
    def outcome(self) -> dict[str, float]:
        """See `EpisodeRecord.outcome`."""
        return {"win": self.won, "ally_deaths": self.dead_allies, "enemy_deaths": self.dead_enemies}


@dataclass
class Facts:
    """The units of the game, for translation into another game's observations; `Steps.facts`.

    Attributes:
        allies: [W, A, 8] float32, columns FACT_COLUMNS: index into `scenarios.UNIT_TYPES` (-1 where SMAX has no such
            unit), health and shield points, cells, game loops until the weapon is ready. The game does not show the
            enemies' cooldowns: 0.
        enemies: [W, E, 8] float32, same columns, ordered by type as in `smac_maps.SMAC_MAPS`, then by the game's unit
            tag. Dead units keep their row, with health 0.
        enemy_slots: [W, E] int32, SMAC's number of the enemy in each row: attack action - FIRST_ATTACK_ACTION.
    """

    allies: np.ndarray
    enemies: np.ndarray
    enemy_slots: np.ndarray


def facts_layout(num_allies: int, num_enemies: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Returns the layout of one worker's `Facts`, for `GameInfo.further`."""
    return {
        "allies": ((num_allies, len(FACT_COLUMNS)), "float32"),
        "enemies": ((num_enemies, len(FACT_COLUMNS)), "float32"),
        "enemy_slots": ((num_enemies,), "int32"),
    }
