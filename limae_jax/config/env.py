"""Settings of the environments; `limae_jax.config` re-exports them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from limae_jax.catalogue.matrix_games import LARGEST_PENALTY, MAX_LENGTH, check_matrix_scenario
from limae_jax.catalogue.scenarios import MAX_TEAM_SIZE, UNIT_TYPES, check_mpe_scenario, parse_scenario
from limae_jax.catalogue.smac_maps import SMAC_MAPS, check_map
from limae_jax.config.codes import CodesConfig
from limae_jax.config.env_base import MAX_STEPS, MAX_TICKS, CompiledConfig, EnvConfig, HostPlayedConfig
from limae_jax.config.other_games import GymnasiumConfig, JaxmarlConfig, PettingzooConfig


@dataclass(frozen=True)
class SmaxConfig(CompiledConfig):
    """Settings of SMAX against its scripted enemy.

    The `unit_type_*` lists hold one number each for marine, marauder, stalker, zealot, zergling and hydralisk; null
    keeps jaxmarl's values.

    Attributes:
        sight_scale: factor on the *allies'* sight range, in (0, 1]; the scripted enemy keeps its own.
        enemy_shoots: whether the enemy shoots; otherwise it only walks.
        attack_mode: how the enemy picks a target, `closest` or `random`.
        walls_cause_death: whether touching the map's edge kills.
        see_enemy_actions: whether observations show the enemies' last moves and targets.
        observes_enemy_cooldowns: whether the allies' observations show the enemies' weapon cooldowns.
        observes_positions_and_cooldowns: whether an ally's observation shows its own position on the map, and the
            weapon cooldowns of its team; relative positions are always shown.
        max_steps: time limit in environment steps; an episode that reaches it is truncated, not lost. null takes the
            limit of SMAC's map of the same name.
        won_battle_bonus: reward for killing the last enemy; rewards for damage sum to 1.
        use_self_play_reward: whether damage earns nothing and losing costs `won_battle_bonus`.
        map_width, map_height: size of the map, in SMAX's units of length.
        world_steps_per_env_step: game ticks per action.
        time_per_step: game seconds per tick.
        observation_type: `unit_list` or `conic`.
        unit_type_velocities: distance that a unit moves per second.
        unit_type_attacks: damage per shot.
        unit_type_attack_ranges, unit_type_sight_ranges: how far a unit shoots and sees.
        unit_type_radiuses: radius of a unit.
        unit_type_health: full health of a unit.
        unit_type_weapon_cooldowns: seconds between two shots.
    """

    sight_scale: float = 1.0
    enemy_shoots: bool = True
    attack_mode: str = "closest"
    walls_cause_death: bool = True
    see_enemy_actions: bool = True
    observes_enemy_cooldowns: bool = True
    observes_positions_and_cooldowns: bool = True
    max_steps: int | None = 100
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

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("max_steps", "map_width", "map_height", "world_steps_per_env_step", "time_per_step")
        self._at_most(MAX_STEPS, "max_steps", "map_width", "map_height")
        self._at_most(MAX_TICKS, "world_steps_per_env_step")
        self._check(0 < self.sight_scale <= 1, "sight_scale", "must be in (0, 1]; 1 changes nothing")
        self._one_of("attack_mode", "closest", "random")
        self._one_of("observation_type", "unit_list", "conic")
        for name in ("observes_enemy_cooldowns", "observes_positions_and_cooldowns"):
            # An entry of a conic observation does not tell which unit it shows, so it cannot be hidden.
            can_hide = getattr(self, name) or self.observation_type == "unit_list"
            self._check(can_hide, name, "needs env.observation_type=unit_list")
        parse_scenario(self.scenario)
        self._settle_max_steps()
        for name in (item.name for item in dataclasses.fields(self) if item.name.startswith("unit_type_")):
            values = getattr(self, name)
            if values is not None:
                self._check(len(values) == len(UNIT_TYPES), name, f"needs {len(UNIT_TYPES)} numbers, one per unit type")
                self._check(all(value > 0 for value in values), name, "must hold numbers greater than 0")

    def _settle_max_steps(self) -> None:
        if self.max_steps is None:
            fix = f"SMAC has no map {self.scenario} to take the limit from; give a number"
            self._check(self.scenario in SMAC_MAPS, "max_steps", fix)
            object.__setattr__(self, "max_steps", SMAC_MAPS[self.scenario].limit)


@dataclass(frozen=True)
class MpeConfig(CompiledConfig):
    """Settings of jaxmarl's cooperative multi-agent particle environments.

    Attributes:
        scenario: see `catalogue.scenarios.MPE_SCENARIOS`.
        num_agents: team size, if the scenario allows a choice; null keeps jaxmarl's.
        max_steps: time limit in environment steps.
        reward_scale: see `EnvConfig`.
    """

    reward_scale: ClassVar[float] = 1.0

    name: str = "mpe"
    scenario: str = "simple_spread"
    num_agents: int | None = None
    max_steps: int = 25

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("num_agents", "max_steps")
        self._at_most(MAX_STEPS, "max_steps")
        self._at_most(MAX_TEAM_SIZE, "num_agents")
        check_mpe_scenario(self.scenario, self.num_agents)


@dataclass(frozen=True)
class MatrixConfig(CompiledConfig):
    """Settings of games of a few stages with a known optimum, for testing learners.

    Attributes:
        scenario: see `catalogue.matrix_games.MATRIX_SCENARIOS`.
        penalty: payoff of the `penalty` game when the agents mix up its two optima.
        length: stages of `cliffwalk`.
        reward_scale: see `EnvConfig`.
    """

    reward_scale: ClassVar[float] = 1.0

    name: str = "matrix"
    scenario: str = "climbing"
    penalty: float = -100.0
    length: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        fix = f"must be between {-LARGEST_PENALTY:.0f} and 0"
        self._check(-LARGEST_PENALTY <= self.penalty <= 0, "penalty", fix)
        self._positive("length")
        self._at_most(MAX_LENGTH, "length")
        check_matrix_scenario(self)


@dataclass(frozen=True)
class SmacConfig(HostPlayedConfig):
    """Settings of real StarCraft II through oxwhirl/smac, one game per worker process.

    The fields from `sight` on are for evaluating teams trained on SMAX, which play through a translation.

    Attributes:
        scenario: SMAC map, see `limae-jax list scenarios`.
        difficulty: level of the built-in enemy, 1 to 9 and A; the published protocol uses 7 ("very hard").
        step_mul: game loops per action; the game runs 22.4 per second.
        sight: `smac` shows units within SMAC's range of 9, `smax` within SMAX's sight range.
        attack_mask: `smac` allows an attack where the game does (within 6), `weapon` within SMAX's weapon range.
        is_strict: whether to hide what SMAC's own observations lack: an agent's position on the map, all cooldowns,
            and the enemies' last actions.
    """

    name: str = "smac"
    scenario: str = "3m"
    difficulty: str = "7"
    step_mul: int = 8
    sight: str = "smac"
    attack_mask: str = "smac"
    is_strict: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("step_mul")
        self._at_most(MAX_STEPS, "step_mul")
        self._one_of("difficulty", *"123456789A")
        self._one_of("sight", "smac", "smax")
        self._one_of("attack_mask", "smac", "weapon")
        check_map(self.scenario)


# `env.name` -> the class of its settings.
ENV_CONFIGS: dict[str, type[EnvConfig]] = {
    "smax": SmaxConfig,
    "mpe": MpeConfig,
    "jaxmarl": JaxmarlConfig,
    "matrix": MatrixConfig,
    "codes": CodesConfig,
    "smac": SmacConfig,
    "pettingzoo": PettingzooConfig,
    "gymnasium": GymnasiumConfig,
}
