"""SMAX: StarCraft-like battles against jaxmarl's scripted enemy."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from limae_jax.catalogue.scenarios import OWN_FEATURES, UNIT_FEATURES, UNIT_TYPES, parse_scenario, smax_sizes
from limae_jax.config import SmaxConfig
from limae_jax.environments.base import spec_of
from limae_jax.environments.jaxmarl import NO_LIMIT, import_jaxmarl, strongly_typed
from limae_jax.types import PyTree, Timestep

_PASSED_ON = (
    "enemy_shoots attack_mode walls_cause_death see_enemy_actions won_battle_bonus use_self_play_reward map_width "
    "map_height world_steps_per_env_step time_per_step observation_type"
).split()
_COOLDOWN = 6  # index among the features of another unit


class SmaxState(struct.PyTreeNode):
    """State of a battle.

    Attributes:
        game: jaxmarl's state of the units, N = allies then enemies.
        enemy_policy: state of the scripted enemies' policy.
        enemy_obs: [E, O] the enemies' current observations, always in the unit-list layout.
    """

    game: PyTree
    enemy_policy: PyTree
    enemy_obs: jax.Array


class Units(NamedTuple):
    """The observable properties of the units on the map, N = allies then enemies.

    Attributes:
        unit_type: [N] int32, index into UNIT_TYPES.
        position: [N, 2] in SMAX's units of length.
        health: [N] remaining fraction, 0 for the dead.
        cooldown: [N] remaining fraction of the weapon's cooldown.
        last_action: [N] int32 in SMAX's numbering; stop for the first observation.
    """

    unit_type: jax.Array
    position: jax.Array
    health: jax.Array
    cooldown: jax.Array
    last_action: jax.Array


class Smax:
    """SMAX for the allied team; see `base.Environment`.

    Plays exactly like jaxmarl's HeuristicEnemySMAX, step for step, with these differences:
    the time limit is `truncated`, exactly at `max_steps`, and a win or a loss is `terminal`;
    `state` is scaled to [-1, 1]; `sight_scale` reduces the allies' sight range (not their attack range), and
    `observes_enemy_cooldowns` and `observes_positions_and_cooldowns` can hide features from the allies.
    """

    def __init__(self, config: SmaxConfig):
        """Builds the battle of `config.scenario`.

        Raises:
            InputError: there is no such scenario.
        """
        self._sight_scale = config.sight_scale
        self._enemies_see_as_allies = config.observation_type == "unit_list"
        self._battle = _build_battle(config)
        # The inner two-team game: one observation serves both the allies and the enemies' next move.
        self._game = self._battle._env
        self._is_shown = _shown_features(config) if config.observation_type == "unit_list" else None
        own_shown = 3 if config.observes_positions_and_cooldowns else 1
        # By unit type, in SMAX's units of length.
        self.sight_ranges: jax.Array = self._game.unit_type_sight_ranges
        self.attack_ranges: jax.Array = self._game.unit_type_attack_ranges
        sizes = smax_sizes(config)
        self.spec = spec_of(
            config.name,
            config.scenario,
            sizes,
            outcome_names=("win", "ally_deaths", "enemy_deaths"),
            own_features=tuple(range(sizes.obs_size - OWN_FEATURES, sizes.obs_size - OWN_FEATURES + own_shown)),
            # The entries of the cone layout do not identify units.
            team_view=self._team_view if config.observation_type == "unit_list" else None,
        )

    def reset(self, key: jax.Array) -> tuple[SmaxState, Timestep]:
        """Starts a battle; see `base.Environment.reset`."""
        policy_key, game_key = jax.random.split(key)
        obs, game = self._game.reset(game_key)
        enemy_policy = strongly_typed(self._battle.get_enemy_policy_initial_state(policy_key))
        state = SmaxState(game, enemy_policy, self._enemy_view(game, obs))
        return state, self._timestep(game, obs, jnp.float32(0), is_first=True)

    def step(self, state: SmaxState, action: jax.Array, key: jax.Array) -> tuple[SmaxState, Timestep]:
        """Plays one joint action; see `base.Environment.step`."""
        game_key, enemy_key = jax.random.split(key)
        enemy_actions, enemy_policy = self._battle.get_enemy_actions(enemy_key, state.enemy_policy, state.enemy_obs)
        actions = jnp.concatenate([action, _stack(enemy_actions, self._battle.enemy_agents)])
        decoded = self._game._decode_discrete_actions(actions)
        obs, game, rewards, _, _ = self._game.step_env_no_decode(game_key, state.game, decoded)
        # All allies get the same reward.
        timestep = self._timestep(game, obs, rewards[self._battle.agents[0]], is_first=False)
        return SmaxState(game, enemy_policy, self._enemy_view(game, obs)), timestep

    def outcome(self, state: SmaxState) -> dict[str, jax.Array]:
        """Returns `win` (every enemy dead and an ally alive; no mutual kill), `ally_deaths` and `enemy_deaths`."""
        allies, enemies = self._alive(state.game)
        return {
            "win": (allies.any() & ~enemies.any()).astype(jnp.float32),
            "ally_deaths": jnp.sum(~allies, dtype=jnp.float32),
            "enemy_deaths": jnp.sum(~enemies, dtype=jnp.float32),
        }

    def observe_units(self, units: Units) -> jax.Array:
        """Returns the allies' observations [A, O] of any units, which may come from another game."""
        moves, attacks = self._game._decode_discrete_actions(units.last_action)
        game = import_jaxmarl("jaxmarl.environments.smax.smax_env").State(
            unit_positions=units.position,
            unit_alive=units.health > 0,
            unit_teams=self._game.teams,
            unit_health=units.health * self._game.unit_type_health[units.unit_type],
            unit_types=units.unit_type,
            unit_weapon_cooldowns=units.cooldown * self._game.unit_type_weapon_cooldowns[units.unit_type],
            prev_movement_actions=moves,
            prev_attack_actions=attacks,
            step=jnp.zeros((), jnp.int32),
            done=jnp.zeros((), bool),
        )
        return self._ally_view(self._game.get_obs(game))

    def _timestep(self, game: PyTree, obs: dict[str, jax.Array], reward: jax.Array, is_first: bool) -> Timestep:
        allies, enemies = self._alive(game)
        avail = self._game.get_avail_actions(game)
        terminal = ~(allies.any() & enemies.any())
        return Timestep(
            obs=self._ally_view(obs),
            state=self._scale_state(game, obs["world_state"]),
            avail=_stack(avail, self._battle.agents).astype(bool),
            alive=allies,
            reward=reward,
            is_first=jnp.full((), is_first),
            terminal=terminal,
            truncated=~terminal & (game.step >= self.spec.episode_limit),
        )

    def _alive(self, game: PyTree) -> tuple[jax.Array, jax.Array]:
        num_allies = self._battle.num_allies
        return game.unit_alive[:num_allies], game.unit_alive[num_allies:]

    def _ally_view(self, obs: dict[str, jax.Array]) -> jax.Array:
        view = narrow_sight(_stack(obs, self._battle.agents), self._sight_scale)
        if self._is_shown is None or self._is_shown.all():
            return view
        return jnp.where(self._is_shown, view, 0.0)

    def _enemy_view(self, game: PyTree, obs: dict[str, jax.Array]) -> jax.Array:
        unit_lists = obs if self._enemies_see_as_allies else self._game.get_obs_unit_list(game)
        return _stack(unit_lists, self._battle.enemy_agents)

    def _team_view(self, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the team-mates' `own_features` [A, A - 1, 3 or 1] as seen in observations [A, O]; see `EnvSpec`."""
        own = obs[:, -OWN_FEATURES:]
        blocks = obs[:, :-OWN_FEATURES].reshape(len(obs), -1, UNIT_FEATURES)[:, : len(obs) - 1]
        sight = own[:, 4:] @ self._game.unit_type_sight_ranges
        size = jnp.array([self._game.map_width, self._game.map_height])
        position = own[:, None, 1:3] + blocks[..., 1:3] * sight[:, None, None] / size
        view = jnp.concatenate([blocks[..., :1], position], axis=-1)
        return view[..., : len(self.spec.own_features)], blocks[..., 0] > 0

    def _scale_state(self, game: PyTree, world_state: jax.Array) -> jax.Array:
        """Scales positions, cooldowns and type indices of the world state [12 N] to [0, 1].

        In jaxmarl, positions range up to the map's size, and an idle weapon's cooldown falls to -50 and below.
        """
        num_units = self._game.num_agents
        features, teams, types = jnp.split(world_state, [num_units * OWN_FEATURES, num_units * (OWN_FEATURES + 1)])
        features = features.reshape(num_units, OWN_FEATURES)
        # A unit pushed over the edge, where walls kill, is as good as on the edge.
        positions = features[:, 1:3] / jnp.array([self._game.map_width, self._game.map_height])
        cooldowns = features[:, 3] / self._game.unit_type_weapon_cooldowns[game.unit_types]
        bounded = jnp.clip(jnp.column_stack([positions, cooldowns]), 0.0, 1.0)
        features = jnp.concatenate([features[:, :1], bounded, features[:, 4:]], axis=1)
        return jnp.concatenate([features.reshape(-1), teams, types / (len(UNIT_TYPES) - 1)])


def _build_battle(config: SmaxConfig) -> Any:
    smax = import_jaxmarl("jaxmarl.environments.smax")
    scenario = parse_scenario(config.scenario)
    options = {name: getattr(config, name) for name in _PASSED_ON}
    for name in (item.name for item in dataclasses.fields(config) if item.name.startswith("unit_type_")):
        if getattr(config, name) is not None:
            options[name] = jnp.asarray(getattr(config, name), jnp.float32)
    battle_scenario = smax.Scenario(
        unit_types=jnp.asarray(scenario.unit_types, jnp.uint8),
        num_allies=scenario.num_allies,
        num_enemies=scenario.num_enemies,
        smacv2_position_generation=scenario.random_positions,
        smacv2_unit_type_generation=scenario.random_unit_types,
    )
    return smax.HeuristicEnemySMAX(scenario=battle_scenario, max_steps=NO_LIMIT, **options)


def _shown_features(config: SmaxConfig) -> np.ndarray:
    """Returns [O] bool, which features of an ally's unit-list observation are shown."""
    scenario = parse_scenario(config.scenario)
    mates, enemies = np.ones((2, UNIT_FEATURES), bool)
    own = np.ones(OWN_FEATURES, bool)
    enemies[_COOLDOWN] = config.observes_enemy_cooldowns
    mates[_COOLDOWN] = own[1:4] = config.observes_positions_and_cooldowns
    return np.concatenate([np.tile(mates, scenario.num_allies - 1), np.tile(enemies, scenario.num_enemies), own])


def narrow_sight(obs: jax.Array, sight_scale: float | jax.Array) -> jax.Array:
    """Zeroes the units beyond `sight_scale` ([] or [A]) times the agent's sight range in observations [A, O].

    Both layouts are blocks of other units, then the agent's own features; a block's entries 1 and 2 are the relative
    position in units of the sight range.
    """
    if isinstance(sight_scale, float) and sight_scale == 1:
        return obs
    others, own = obs[:, :-OWN_FEATURES], obs[:, -OWN_FEATURES:]
    blocks = others.reshape(len(obs), -1, UNIT_FEATURES)
    scale = jnp.broadcast_to(sight_scale, len(obs))[:, None, None]
    is_near = jnp.linalg.norm(blocks[..., 1:3], axis=-1, keepdims=True) < scale
    return jnp.concatenate([jnp.where(is_near, blocks, 0.0).reshape(others.shape), own], axis=1)


def _stack(by_agent: dict[str, jax.Array], agents: list[str]) -> jax.Array:
    return jnp.stack([by_agent[agent] for agent in agents])
