"""Battles of SMAC made up unit by unit, and what SMAX shows of them, worked out in numpy from its documented layout."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from limae_jax.catalogue.scenarios import UNIT_TYPES
from limae_jax.catalogue.smac_maps import SMAC_MAPS
from limae_jax.environments.smac.records import Facts

# Where a team's enemies stand at the start of an episode, one worker each.
FACING = {"east": (1, 0), "north": (0, 1), "west": (-1, 0), "south": (0, -1)}
# SMAX's four moves and stop, SMAC's four moves, as ways.
SMAX_WAYS = np.array([(0, 1), (1, 0), (0, -1), (-1, 0), (0, 0)], np.float32)
SMAC_WAYS = {2: (0, 1), 3: (0, -1), 4: (1, 0), 5: (-1, 0)}
STOP = 4

# Health and shield of marine, marauder, stalker, zealot, zergling, hydralisk in StarCraft II; game loops of a cooldown.
HEALTH_MAX = np.array([45, 125, 80, 100, 35, 90], np.float32)
SHIELD_MAX = np.array([0, 0, 80, 50, 0, 0], np.float32)
LOOPS = np.array([13.66, 23.97, 30.0, 19.26, 11.13, 13.22], np.float32)
# How far SMAX's units of these types see and shoot unless they are told otherwise.
SMAX_SIGHTS = np.array([9, 10, 10, 9, 8, 9], np.float32)
SMAX_RANGES = np.array([5, 6, 6, 2, 2, 5], np.float32)


class Battle(NamedTuple):
    """Four workers' units at one moment, in SMAX's frame. N = allies then enemies.

    Attributes:
        unit_type: [N].
        position: [4, N, 2].
        health, shield: [4, N] points, cooldown: [4, N] game loops.
        last_action: [4, N] in SMAX's numbering.
    """

    unit_type: np.ndarray
    position: np.ndarray
    health: np.ndarray
    shield: np.ndarray
    cooldown: np.ndarray
    last_action: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """[4, N] of health and shield together."""
        return (self.health + self.shield) / (HEALTH_MAX + SHIELD_MAX)[self.unit_type]


def sizes(scenario: str) -> tuple[int, int]:
    """A and E."""
    battle = SMAC_MAPS[scenario]
    return len(battle.allies), len(battle.enemies)


def start_of(scenario: str, generator: np.random.Generator) -> Battle:
    """Whole units, two blocks of them west and east of the map's middle."""
    battle, num_allies = SMAC_MAPS[scenario], len(SMAC_MAPS[scenario].allies)
    unit_type = np.array([UNIT_TYPES.index(unit) for unit in battle.allies + battle.enemies])
    position = generator.uniform(-1.5, 1.5, (4, len(unit_type), 2)).astype(np.float32)
    for team, x in ((slice(num_allies), 10), (slice(num_allies, None), 22)):
        position[:, team] += np.array([x, 16]) - position[:, team].mean(1, keepdims=True)
    shape = position.shape[:2]
    return Battle(
        unit_type,
        position,
        health=np.broadcast_to(HEALTH_MAX[unit_type], shape),
        shield=np.broadcast_to(SHIELD_MAX[unit_type], shape),
        cooldown=np.zeros(shape, np.float32),
        last_action=np.full(shape, STOP),
    )


def later_than(start: Battle, num_allies: int, generator: np.random.Generator) -> Battle:
    """Somewhere in the midst of it: the enemies have made a move of 0.8 cells or none, not quite straight."""
    shape = start.position.shape[:2]
    num_enemies = shape[1] - num_allies
    enemy_moves = generator.integers(5, size=(4, num_enemies))
    way = 0.8 * SMAX_WAYS[enemy_moves] + generator.uniform(-0.2, 0.2, (4, num_enemies, 2))
    allies_at = generator.uniform(8, 24, (4, num_allies, 2))
    is_alive = generator.random(shape) < 0.8
    points = generator.random((3, *shape)).astype(np.float32) * is_alive
    ally_actions = generator.integers(5 + num_enemies, size=(4, num_allies))
    return Battle(
        start.unit_type,
        np.concatenate([allies_at, start.position[:, num_allies:] + way], axis=1).astype(np.float32),
        health=np.ceil(points[0] * HEALTH_MAX[start.unit_type]),
        shield=points[1] * SHIELD_MAX[start.unit_type],
        # More than the nominal cooldown now and then; the game does not tell the enemies'.
        cooldown=1.2 * points[2] * LOOPS[start.unit_type] * (np.arange(shape[1]) < num_allies),
        last_action=np.concatenate([ally_actions, enemy_moves], axis=1),
    )


def facts_of(battle: Battle, num_allies: int, enemy_slots: np.ndarray) -> Facts:
    """The units as workers see them whose teams face FACING in turn, each on a part of the map of its own."""
    centre = np.array([(40.5, 17.25), (12, 50), (33, 9.75), (20, 20)], np.float32)
    x, y = np.moveaxis(battle.position - 16, -1, 0)
    east = np.array(list(FACING.values()), np.float32)
    # What SMAX calls east lies `east`, and its north a quarter turn counterclockwise from there.
    north = np.stack([-east[:, 1], east[:, 0]], axis=1)
    position = centre[:, None] + x[..., None] * east[:, None] + y[..., None] * north[:, None]
    shape = x.shape
    columns = [
        np.broadcast_to(battle.unit_type, shape),
        battle.health,
        np.broadcast_to(HEALTH_MAX[battle.unit_type], shape),
        battle.shield,
        np.broadcast_to(SHIELD_MAX[battle.unit_type], shape),
        position[..., 0],
        position[..., 1],
        battle.cooldown,
    ]
    rows = np.stack(columns, axis=-1).astype(np.float32)
    return Facts(rows[:, :num_allies], rows[:, num_allies:], enemy_slots.astype(np.int32))


def smax_obs(battle: Battle, num_allies: int, sights: np.ndarray = SMAX_SIGHTS, limit: float = 9.0) -> np.ndarray:
    """[4, A, O] by hand: who is within sight and `limit`, with all that SMAX shows of a unit.

    Nobody's cooldown is known but the allies', and no enemy's target.
    """
    num_workers, num_units = battle.position.shape[:2]
    num_enemies = num_units - num_allies
    obs = np.zeros((num_workers, num_allies, 13 * (num_units - 1) + 10), np.float32)
    cooldown = np.minimum(battle.cooldown / LOOPS[battle.unit_type], 1)
    for worker, viewer in np.ndindex(num_workers, num_allies):
        if battle.health[worker, viewer] == 0:
            continue
        own_type = battle.unit_type[viewer]
        others = [unit for unit in range(num_units) if unit != viewer]
        for block, other in enumerate(others):
            way = battle.position[worker, other] - battle.position[worker, viewer]
            is_seen = np.hypot(*way) < min(sights[own_type], limit)
            if not is_seen or battle.health[worker, other] == 0:
                continue
            action = battle.last_action[worker, other]
            target = action / (4 + num_enemies) if action > STOP and other < num_allies else 0
            is_type = np.arange(6) == battle.unit_type[other]
            move = SMAX_WAYS[min(action, STOP)]
            shown = [battle.share[worker, other], *way / sights[own_type], *move, target, cooldown[worker, other]]
            obs[worker, viewer, 13 * block : 13 * (block + 1)] = [*shown, *is_type]
        place = battle.position[worker, viewer] / 32
        own = [battle.share[worker, viewer], *place, cooldown[worker, viewer], *(np.arange(6) == own_type)]
        obs[worker, viewer, -10:] = own
    return obs
