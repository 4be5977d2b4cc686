"""Reads the units of a game. Runs in the worker."""

from __future__ import annotations

from typing import Any

import numpy as np

from limae_jax.catalogue.scenarios import UNIT_TYPES
from limae_jax.catalogue.smac_maps import check_map

# StarCraft II's unit type ids, used for the enemies. The allies' ids differ from map to map.
_ENEMY_TYPES = {
    4: "colossus",
    9: "baneling",
    48: "marine",
    51: "marauder",
    54: "medivac",
    73: "zealot",
    74: "stalker",
    98: "spine_crawler",
    105: "zergling",
    107: "hydralisk",
}


class UnitReader:
    """Reads the units of one map's episodes into the rows of `records.Facts`."""

    def __init__(self, map_name: str):
        self._enemy_order = list(dict.fromkeys(check_map(map_name).enemies))
        self._ally_types: dict[int, int] = {}
        self._enemy_slots: list[int] = []
        self._enemy_types: list[int] = []

    def start(self, env: Any) -> None:
        """Assigns the enemies to rows for the episode that has just started.

        Args:
            env: environment with the interface of `StarCraft2Env`.
        """
        own = {getattr(env, f"{name}_id", 0): index for index, name in enumerate(UNIT_TYPES)}
        # SMAC sets 0 for types that the map does not have.
        self._ally_types = {number: index for number, index in own.items() if number}
        self._enemy_slots = sorted(env.enemies, key=lambda slot: self._rank(env.enemies[slot]))
        names = (_ENEMY_TYPES.get(env.enemies[slot].unit_type, "") for slot in self._enemy_slots)
        self._enemy_types = [_smax_type(name) for name in names]

    def _rank(self, unit: Any) -> tuple[int, int]:
        name = _ENEMY_TYPES.get(unit.unit_type, "")
        order = self._enemy_order
        return (order.index(name) if name in order else len(order), unit.tag)

    def read(self, env: Any) -> dict[str, np.ndarray]:
        """Returns the current `allies`, `enemies` and `enemy_slots` of one worker."""
        allies = [env.agents[agent] for agent in range(len(env.agents))]
        enemies = [env.enemies[slot] for slot in self._enemy_slots]
        return {
            "allies": _rows(allies, [self._ally_types.get(unit.unit_type, -1) for unit in allies]),
            "enemies": _rows(enemies, self._enemy_types),
            "enemy_slots": np.asarray(self._enemy_slots, np.int32),
        }


def _smax_type(name: str) -> int:
    return UNIT_TYPES.index(name) if name in UNIT_TYPES else -1


def _rows(units: list[Any], unit_types: list[int]) -> np.ndarray:
    """Returns [N, 8] float32, columns `records.FACT_COLUMNS`. Dead units have no health, shield or cooldown."""
    rows = []
    for unit, unit_type in zip(units, unit_types, strict=True):
        place = unit.pos
        now = (unit.health, unit.shield, unit.weapon_cooldown) if unit.health > 0 else (0.0, 0.0, 0.0)
        rows.append((unit_type, now[0], unit.health_max, now[1], unit.shield_max, place.x, place.y, now[2]))
    return np.array(rows, np.float32)
