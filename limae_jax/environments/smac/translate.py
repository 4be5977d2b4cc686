"""StarCraft II's units and actions as a team that was trained on SMAX knows them.

A SMAX state is filled with the game's units, and SMAX's own observation function is called on it: the layout, the sight
ranges and what is hidden are those of the instance that the team was trained in, by construction.

The game's map is laid onto SMAX's by a rigid motion, fixed at an episode's start: the middle between the two teams
comes to the middle of the map, and a quarter turn brings the enemies east, where SMAX has them. The moves turn with it.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from limae_jax.catalogue.scenarios import NUM_MOVE_ACTIONS
from limae_jax.catalogue.scenarios import STOP_ACTION as SMAX_STOP_ACTION
from limae_jax.catalogue.smac_maps import FIRST_ATTACK_ACTION, STOP_ACTION
from limae_jax.config import SmacConfig, SmaxConfig
from limae_jax.config.fitting import check_translation
from limae_jax.environments.smac.records import FACT_COLUMNS
from limae_jax.environments.smax import Smax, Units, narrow_sight

# How far SMAC's own observations reach, in cells.
SMAC_SIGHT = 9.0
# Game loops between two shots of each of `scenarios.UNIT_TYPES`, 22.4 to the second.
COOLDOWN_LOOPS = (13.66, 23.97, 30.0, 19.26, 11.13, 13.22)
# An enemy that has come less far, in cells, counts as standing: it was pushed, or stopped on its way.
LEAST_MOVE = 0.3

_PLACE = slice(FACT_COLUMNS.index("x"), FACT_COLUMNS.index("y") + 1)
# SMAX's moves, clockwise: north, east, south, west.
_EAST = 1
_SMAC_MOVES = (2, 4, 3, 5)


class Frame(struct.PyTreeNode):
    """How the map of one episode is laid onto SMAX's.

    Attributes:
        quarter_turns: [] int32, counterclockwise.
        middle: [2] cells, the point of the game's map that comes to the middle of SMAX's.
    """

    quarter_turns: jax.Array
    middle: jax.Array


class Seen(struct.PyTreeNode):
    """What a worker's next observation needs of the one before.

    Attributes:
        frame: of the episode.
        enemies: [E, 2] where they were, in SMAX's frame.
    """

    frame: Frame
    enemies: jax.Array


class View(NamedTuple):
    """What a team trained on SMAX meets.

    Attributes:
        obs: [A, O] SMAX's observations.
        avail: [A, U] bool, SMAX's actions that the game allows; of the dead, stop only.
        numbers: [U] int32, SMAC's number of each of SMAX's actions, for the living.
    """

    obs: jax.Array
    avail: jax.Array
    numbers: jax.Array


class Translator:
    """Translates one worker's game; `translated.TranslatedGames` maps it over all of them.

    Attributes:
        spec: sizes as the team knows them.
    """

    def __init__(self, trained: SmaxConfig, game: SmacConfig):
        """Builds the instance of SMAX that the team was trained in.

        Args:
            trained: its settings.
            game: `sight`, `attack_mask`, `is_strict` and the map.

        Raises:
            InputError: the team does not fit the map, or a setting the team.
        """
        check_translation(trained, game)
        if game.is_strict:
            trained = dataclasses.replace(
                trained,
                see_enemy_actions=False,
                observes_enemy_cooldowns=False,
                observes_positions_and_cooldowns=False,
            )
        self._smax = Smax(trained)
        self._game = game
        self._size = (float(trained.map_width), float(trained.map_height))
        self.spec = self._smax.spec

    def blank(self) -> Seen:
        """What was seen before anything was."""
        num_enemies = self.spec.num_actions - NUM_MOVE_ACTIONS
        return Seen(Frame(jnp.zeros((), jnp.int32), jnp.zeros(2)), jnp.zeros((num_enemies, 2)))

    def see(
        self,
        before: Seen,
        last_action: jax.Array,
        is_first: jax.Array,
        allies: jax.Array,
        enemies: jax.Array,
        enemy_slots: jax.Array,
        avail: jax.Array,
    ) -> tuple[View, Seen]:
        """Translates what a worker shows.

        Args:
            before: from the step before.
            last_action: [A] in SMAX's numbering, what led here.
            is_first: [] bool, an episode starts here: nothing led here, and it gets a frame of its own.
            allies, enemies, enemy_slots: [A, 8], [E, 8], [E], see `records.Facts`.
            avail: [A, U of SMAC] bool.
        """
        start = frame_of(allies[:, _PLACE], enemies[:, _PLACE])
        frame = jax.tree.map(lambda new, old: jnp.where(is_first, new, old), start, before.frame)
        units = self._units(jnp.concatenate([allies, enemies]), frame)
        enemies_at = units.position[len(allies) :]
        led_here = jnp.concatenate([last_action, _moves_between(before.enemies, enemies_at)])
        units = units._replace(last_action=jnp.where(is_first, SMAX_STOP_ACTION, led_here))
        numbers = _numbers(frame.quarter_turns, enemy_slots)
        # A dead unit has no action in SMAC but "no-op", which is SMAX's stop.
        allowed = avail[:, numbers].at[:, SMAX_STOP_ACTION].set(True)
        if self._game.attack_mask == "weapon":
            allowed = allowed.at[:, NUM_MOVE_ACTIONS:].set(allowed[:, NUM_MOVE_ACTIONS:] & self._in_range(units))
        return View(self._observe(units), allowed, numbers), Seen(frame, enemies_at)

    def _units(self, facts: jax.Array, frame: Frame) -> Units:
        """[N, 8] rows of facts as SMAX's units, standing still."""
        unit_type, health, health_max, shield, shield_max, x, y, cooldown = facts.T
        unit_type = unit_type.astype(jnp.int32)
        return Units(
            unit_type=unit_type,
            position=turned(jnp.stack([x, y], axis=1) - frame.middle, frame.quarter_turns) + jnp.array(self._size) / 2,
            health=(health + shield) / (health_max + shield_max),
            cooldown=jnp.clip(cooldown / jnp.array(COOLDOWN_LOOPS)[unit_type], 0.0, 1.0),
            last_action=jnp.full(len(facts), SMAX_STOP_ACTION),
        )

    def _observe(self, units: Units) -> jax.Array:
        obs = self._smax.observe_units(units)
        if self._game.sight == "smax":
            return obs
        ally_types = units.unit_type[: self.spec.num_agents]
        return narrow_sight(obs, SMAC_SIGHT / self._smax.sight_ranges[ally_types])

    def _in_range(self, units: Units) -> jax.Array:
        """[A, E] bool, whose weapon reaches whom in SMAX."""
        allies, enemies = jnp.split(units.position, [self.spec.num_agents])
        distance = jnp.linalg.norm(allies[:, None] - enemies, axis=-1)
        return distance < self._smax.attack_ranges[units.unit_type[: self.spec.num_agents], None]


def frame_of(allies: jax.Array, enemies: jax.Array) -> Frame:
    """The frame of an episode that starts with teams in these places, [A, 2] and [E, 2] cells."""
    ours, theirs = jnp.mean(allies, axis=0), jnp.mean(enemies, axis=0)
    return Frame((_direction(theirs - ours) - _EAST) % 4, (ours + theirs) / 2)


def turned(points: jax.Array, quarter_turns: jax.Array) -> jax.Array:
    """Points [N, 2] turned about the origin, counterclockwise."""
    # Not a product of matrices, which some devices round to few digits.
    cos, sin = jnp.array([1.0, 0.0, -1.0, 0.0])[quarter_turns], jnp.array([0.0, 1.0, 0.0, -1.0])[quarter_turns]
    x, y = points.T
    return jnp.stack([cos * x - sin * y, sin * x + cos * y], axis=1)


def _direction(vector: jax.Array) -> jax.Array:
    """Along which axis [..., 2] points most, as SMAX's move [...] int32; east and west if both alike."""
    x, y = vector[..., 0], vector[..., 1]
    return jnp.where(jnp.abs(x) >= jnp.abs(y), jnp.where(x < 0, 3, 1), jnp.where(y < 0, 2, 0))


def _moves_between(before: jax.Array, after: jax.Array) -> jax.Array:
    """SMAX's moves [E] that would have led from one place to the other, [E, 2] each."""
    way = after - before
    return jnp.where(jnp.max(jnp.abs(way), axis=-1) > LEAST_MOVE, _direction(way), SMAX_STOP_ACTION)


def _numbers(quarter_turns: jax.Array, enemy_slots: jax.Array) -> jax.Array:
    """`View.numbers`. A turn of the map by a quarter counterclockwise makes of its east SMAX's north."""
    moves = jnp.array(_SMAC_MOVES)[(jnp.arange(4) + quarter_turns) % 4]
    return jnp.concatenate([moves, jnp.array([STOP_ACTION]), FIRST_ATTACK_ACTION + enemy_slots])
