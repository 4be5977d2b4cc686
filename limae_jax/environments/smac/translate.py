"""Translation of StarCraft II's units and actions for a team that was trained on SMAX.

A SMAX state is filled with the game's units, and SMAX's own observation function is called on it: the layout, the sight
ranges and the hidden features are those of the training environment, by construction.

The game's map is mapped onto SMAX's by a rigid motion, fixed at the start of an episode: the midpoint between the two
teams moves to the middle of the map, and quarter turns bring the enemies east, as in SMAX. The moves turn accordingly.
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

# Sight range of SMAC's own observations, in cells.
SMAC_SIGHT = 9.0
# Game loops (22.4 per second) between two shots of each of `scenarios.UNIT_TYPES`.
COOLDOWN_LOOPS = (13.66, 23.97, 30.0, 19.26, 11.13, 13.22)
# Cells. An enemy that has moved less counts as standing: it was pushed, or stopped on its way.
LEAST_MOVE = 0.3

_PLACE = slice(FACT_COLUMNS.index("x"), FACT_COLUMNS.index("y") + 1)
# SMAX's moves, clockwise: north, east, south, west.
_EAST = 1
_SMAC_MOVES = (2, 4, 3, 5)


class Frame(struct.PyTreeNode):
    """The rigid motion that maps one episode's map onto SMAX's.

    Attributes:
        quarter_turns: [] int32, counterclockwise.
        middle: [2] cells, the point of the game's map that moves to the middle of SMAX's.
    """

    quarter_turns: jax.Array
    middle: jax.Array


class Seen(struct.PyTreeNode):
    """The state that translation carries from one step of a worker to the next.

    Attributes:
        frame: frame of the episode.
        enemies: [E, 2] previous positions of the enemies, in SMAX's frame.
    """

    frame: Frame
    enemies: jax.Array


class View(NamedTuple):
    """A translated timestep for a team trained on SMAX.

    Attributes:
        obs: [A, O] SMAX's observations.
        avail: [A, U] bool, SMAX's actions that the game allows; only stop for dead agents.
        numbers: [U] int32, SMAC's number of each SMAX action, for living agents.
    """

    obs: jax.Array
    avail: jax.Array
    numbers: jax.Array


class Translator:
    """Translates one worker's game; `translated.TranslatedGames` applies it to all workers.

    Attributes:
        spec: spec of the SMAX environment that the team was trained in.
    """

    def __init__(self, trained: SmaxConfig, game: SmacConfig):
        """Builds the SMAX environment that the team was trained in.

        Args:
            trained: settings of that environment.
            game: settings of SMAC, with `sight`, `attack_mask`, `is_strict` and the map.

        Raises:
            InputError: the team does not fit the map, or a setting does not fit the team.
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
        """Returns the carried state before the first step."""
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
        """Translates one timestep of a worker.

        Args:
            before: state carried from the previous step.
            last_action: [A] previous actions in SMAX's numbering.
            is_first: [] bool, an episode starts here: there is no previous action, and the frame is set anew.
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
        # A dead unit's only action in SMAC is "no-op", which corresponds to SMAX's stop.
        allowed = avail[:, numbers].at[:, SMAX_STOP_ACTION].set(True)
        if self._game.attack_mask == "weapon":
            allowed = allowed.at[:, NUM_MOVE_ACTIONS:].set(allowed[:, NUM_MOVE_ACTIONS:] & self._in_range(units))
        return View(self._observe(units), allowed, numbers), Seen(frame, enemies_at)

    def _units(self, facts: jax.Array, frame: Frame) -> Units:
        """Converts [N, 8] rows of facts to SMAX's units, with stop as the last action."""
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
        """Returns [A, E] bool, which enemies are in each ally's attack range in SMAX."""
        allies, enemies = jnp.split(units.position, [self.spec.num_agents])
        distance = jnp.linalg.norm(allies[:, None] - enemies, axis=-1)
        return distance < self._smax.attack_ranges[units.unit_type[: self.spec.num_agents], None]


def frame_of(allies: jax.Array, enemies: jax.Array) -> Frame:
    """Returns the frame of an episode from the initial positions of the teams, [A, 2] and [E, 2] cells."""
    ours, theirs = jnp.mean(allies, axis=0), jnp.mean(enemies, axis=0)
    return Frame((_direction(theirs - ours) - _EAST) % 4, (ours + theirs) / 2)


def turned(points: jax.Array, quarter_turns: jax.Array) -> jax.Array:
    """Rotates points [N, 2] about the origin, counterclockwise."""
    # Not a matrix product, which some devices compute at low precision.
    cos, sin = jnp.array([1.0, 0.0, -1.0, 0.0])[quarter_turns], jnp.array([0.0, 1.0, 0.0, -1.0])[quarter_turns]
    x, y = points.T
    return jnp.stack([cos * x - sin * y, sin * x + cos * y], axis=1)


def _direction(vector: jax.Array) -> jax.Array:
    """Returns SMAX's move [...] int32 closest to the vector [..., 2]; east or west if tied."""
    x, y = vector[..., 0], vector[..., 1]
    return jnp.where(jnp.abs(x) >= jnp.abs(y), jnp.where(x < 0, 3, 1), jnp.where(y < 0, 2, 0))


def _moves_between(before: jax.Array, after: jax.Array) -> jax.Array:
    """Returns SMAX's moves [E] that lead from positions `before` to `after`, [E, 2] each."""
    way = after - before
    return jnp.where(jnp.max(jnp.abs(way), axis=-1) > LEAST_MOVE, _direction(way), SMAX_STOP_ACTION)


def _numbers(quarter_turns: jax.Array, enemy_slots: jax.Array) -> jax.Array:
    """Returns `View.numbers`. One quarter turn of the map counterclockwise turns its east into SMAX's north."""
    moves = jnp.array(_SMAC_MOVES)[(jnp.arange(4) + quarter_turns) % 4]
    return jnp.concatenate([moves, jnp.array([STOP_ACTION]), FIRST_ATTACK_ACTION + enemy_slots])
