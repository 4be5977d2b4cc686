"""SMAC's maps as plain data, checked without importing numpy, jax or smac.

A test compares the table with smac's own, and the sizes with those that smac's environment reports.
"""

from __future__ import annotations

from dataclasses import dataclass

from limae_jax.catalogue.scenarios import Sizes
from limae_jax.registry import check_name

# SMAC's layout: no-op, stop, four moves, then one attack for each enemy.
NO_OP_ACTION = 0
STOP_ACTION = 1
FIRST_ATTACK_ACTION = 6

_NUM_MOVE_BITS = 4
_PROTOSS = ("stalker", "zealot", "colossus")


@dataclass(frozen=True)
class SmacMap:
    """A battle of SMAC.

    Attributes:
        allies, enemies: name of each unit's type, in SMAC's order of the allies (sorted by type).
        limit: most steps of an episode.
        num_shown_types: length of the one-hot unit types in observations; 0 if each team has a single type.
    """

    allies: tuple[str, ...]
    enemies: tuple[str, ...]
    limit: int
    num_shown_types: int = 0

    @property
    def num_agents(self) -> int:
        """A, the number of allies."""
        return len(self.allies)

    @property
    def num_enemies(self) -> int:
        """E, the number of enemies."""
        return len(self.enemies)


def _map(allies: dict[str, int], enemies: dict[str, int] | None, limit: int, num_shown_types: int = 0) -> SmacMap:
    teams = [
        tuple(unit for unit, n in team.items() for _ in range(n))
        for team in (allies, allies if enemies is None else enemies)
    ]
    return SmacMap(teams[0], teams[1], limit, num_shown_types)


SMAC_MAPS = {
    "3m": _map({"marine": 3}, None, 60),
    "8m": _map({"marine": 8}, None, 120),
    "25m": _map({"marine": 25}, None, 150),
    "5m_vs_6m": _map({"marine": 5}, {"marine": 6}, 70),
    "8m_vs_9m": _map({"marine": 8}, {"marine": 9}, 120),
    "10m_vs_11m": _map({"marine": 10}, {"marine": 11}, 150),
    "27m_vs_30m": _map({"marine": 27}, {"marine": 30}, 180),
    "MMM": _map({"marauder": 2, "marine": 7, "medivac": 1}, None, 150, 3),
    "MMM2": _map(
        {"marauder": 2, "marine": 7, "medivac": 1},
        {"marauder": 3, "marine": 8, "medivac": 1},
        180,
        3,
    ),
    "2s3z": _map({"stalker": 2, "zealot": 3}, None, 120, 2),
    "3s5z": _map({"stalker": 3, "zealot": 5}, None, 150, 2),
    "3s5z_vs_3s6z": _map({"stalker": 3, "zealot": 5}, {"stalker": 3, "zealot": 6}, 170, 2),
    "3s_vs_3z": _map({"stalker": 3}, {"zealot": 3}, 150),
    "3s_vs_4z": _map({"stalker": 3}, {"zealot": 4}, 200),
    "3s_vs_5z": _map({"stalker": 3}, {"zealot": 5}, 250),
    "1c3s5z": _map({"colossus": 1, "stalker": 3, "zealot": 5}, None, 180, 3),
    "2m_vs_1z": _map({"marine": 2}, {"zealot": 1}, 150),
    "corridor": _map({"zealot": 6}, {"zergling": 24}, 400),
    "6h_vs_8z": _map({"hydralisk": 6}, {"zealot": 8}, 150),
    "2s_vs_1sc": _map({"stalker": 2}, {"spine_crawler": 1}, 300),
    "so_many_baneling": _map({"zealot": 7}, {"baneling": 32}, 100),
    "bane_vs_bane": _map({"baneling": 4, "zergling": 20}, None, 200, 2),
    "2c_vs_64zg": _map({"colossus": 2}, {"zergling": 64}, 400),
}


def check_map(name: str) -> SmacMap:
    """Returns the map of a name.

    Raises:
        InputError: SMAC has no such map; the message lists its maps.
    """
    return SMAC_MAPS[check_name("env.scenario", name, SMAC_MAPS)]


def smac_sizes(name: str) -> Sizes:
    """Returns the sizes of a map with the default options of SMAC's environment.

    Raises:
        InputError: SMAC has no such map.
    """
    battle = check_map(name)
    num_agents, num_enemies, bits = battle.num_agents, battle.num_enemies, battle.num_shown_types
    ally_shield, enemy_shield = (int(team[0] in _PROTOSS) for team in (battle.allies, battle.enemies))
    num_actions = FIRST_ATTACK_ACTION + num_enemies
    # Per other unit: attackable or visible, distance, dx, dy, health, shield, type; for the own unit the last three.
    obs_size = _NUM_MOVE_BITS + num_enemies * (5 + enemy_shield + bits) + (num_agents - 1) * (5 + ally_shield + bits)
    obs_size += 1 + ally_shield + bits
    # Per ally: health, cooldown, x, y, shield, type and last action; an enemy has no cooldown and no action.
    state_size = num_agents * (4 + ally_shield + bits + num_actions) + num_enemies * (3 + enemy_shield + bits)
    return Sizes(num_agents, obs_size, state_size, num_actions, battle.limit)
