"""Settings of the environments. `limae_jax.config` has them together with all others."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from limae_jax.checks import Section
from limae_jax.environments.scenarios import UNIT_TYPES, check_mpe_scenario, parse_scenario


@dataclass(frozen=True)
class EnvConfig(Section):
    """What all environments share.

    Attributes:
        name: environment family, see `limae-jax list scenarios`.
        scenario: map or task within the family.
        num_envs: copies that one seed plays at the same time.
    """

    section: ClassVar[str] = "env"

    name: str = "smax"
    scenario: str = "3m"
    num_envs: int = 8

    def __post_init__(self):
        super().__post_init__()
        self._positive("num_envs")


@dataclass(frozen=True)
class SmaxConfig(EnvConfig):
    """SMAX against its scripted enemy. The `unit_type_*` lists give one number for each of marine, marauder,
    stalker, zealot, zergling, hydralisk; null keeps jaxmarl's.

    Attributes:
        sight_scale: factor on how far the *allies* see, in (0, 1]; the scripted enemy sees as before.
        enemy_shoots: False gives an enemy that only walks.
        attack_mode: how the enemy picks a target, `closest` or `random`.
        walls_cause_death: whether touching the map's edge kills.
        see_enemy_actions: whether observations show the enemies' last moves and targets.
        max_steps: time limit in environment steps; an episode that reaches it is truncated, not lost.
        won_battle_bonus: reward for killing the last enemy; damage brings 1 in all.
        use_self_play_reward: damage brings nothing, and losing costs `won_battle_bonus`.
        map_width, map_height: of the field, in SMAX's units of length.
        world_steps_per_env_step: ticks of the game for each action.
        time_per_step: seconds of the game for each tick.
        observation_type: `unit_list` or `conic`.
    """

    sight_scale: float = 1.0
    enemy_shoots: bool = True
    attack_mode: str = "closest"
    walls_cause_death: bool = True
    see_enemy_actions: bool = True
    max_steps: int = 100
    won_battle_bonus: float = 1.0
    use_self_play_reward: bool = False
    map_width: int = 32
    map_height: int = 32
    world_steps_per_env_step: int = 8
    time_per_step: float = 0.0625
    observation_type: str = "unit_list"
    unit_type_velocities: tuple[float, ...] | None = None
    unit_type_attacks: tuple[float, ...] | None = None
    unit_type_attack_ranges: tuple[float, ...] | None = None
    unit_type_sight_ranges: tuple[float, ...] | None = None
    unit_type_radiuses: tuple[float, ...] | None = None
    unit_type_health: tuple[float, ...] | None = None
    unit_type_weapon_cooldowns: tuple[float, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        self._positive("max_steps", "map_width", "map_height", "world_steps_per_env_step", "time_per_step")
        self._check(0 < self.sight_scale <= 1, "sight_scale", "must be in (0, 1]; 1 changes nothing")
        self._one_of("attack_mode", "closest", "random")
        self._one_of("observation_type", "unit_list", "conic")
        parse_scenario(self.scenario)
        for name in (item.name for item in dataclasses.fields(self) if item.name.startswith("unit_type_")):
            values = getattr(self, name)
            if values is not None:
                self._check(len(values) == len(UNIT_TYPES), name, f"needs {len(UNIT_TYPES)} numbers, one a unit type")
                self._check(all(value > 0 for value in values), name, "must hold numbers greater than 0")


@dataclass(frozen=True)
class MpeConfig(EnvConfig):
    """Cooperative multi-agent particle environments of jaxmarl.

    Attributes:
        scenario: see `environments.scenarios.MPE_SCENARIOS`.
        num_agents: team size where the scenario lets one choose; null keeps jaxmarl's.
        max_steps: time limit in environment steps.
    """

    name: str = "mpe"
    scenario: str = "simple_spread"
    num_agents: int | None = None
    max_steps: int = 25

    def __post_init__(self):
        super().__post_init__()
        self._positive("num_agents", "max_steps")
        check_mpe_scenario(self.scenario, self.num_agents)


# Which settings an environment family has, by `env.name`.
ENV_CONFIGS: dict[str, type[EnvConfig]] = {"smax": SmaxConfig, "mpe": MpeConfig}
