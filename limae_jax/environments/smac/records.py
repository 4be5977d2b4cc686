"""What only games of StarCraft II show: who won, and the units.

Axes: W worker, A agent, E enemy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limae_jax.environments.workers.records import EpisodeRecord

# Game loops in a second of StarCraft II at the speed that SMAC counts in ("faster").
LOOPS_PER_SECOND = 22.4

# Columns of `Facts.allies` and `Facts.enemies`.
FACT_COLUMNS = ("unit_type", "health", "health_max", "shield", "shield_max", "x", "y", "weapon_cooldown")


@dataclass(frozen=True)
class BattleRecord(EpisodeRecord):
    """A finished battle; its return is in SMAC's own units, of which 20 is about the most.

    Attributes:
        won: the enemies are dead and an ally lives. A battle that is truncated has no dead team.
        seconds: game time at "faster" speed.
        dead_allies, dead_enemies: units lost.
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
    """The units as the game shows them, for translation into another game's observations; `Steps.facts`.

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


def facts_layout(num_allies: int, num_enemies: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """The arrays of `Facts` of one worker, as `GameInfo.further` has them."""
    return {
        "allies": ((num_allies, len(FACT_COLUMNS)), "float32"),
        "enemies": ((num_enemies, len(FACT_COLUMNS)), "float32"),
        "enemy_slots": ((num_enemies,), "int32"),
    }
