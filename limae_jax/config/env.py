"""Settings of the environments. `limae_jax.config` has them together with all others."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from limae_jax.catalogue.matrix_games import LARGEST_PENALTY, MAX_LENGTH, check_matrix_scenario
from limae_jax.catalogue.scenarios import MAX_TEAM_SIZE, UNIT_TYPES, check_mpe_scenario, parse_scenario
from limae_jax.catalogue.smac_maps import SMAC_MAPS, check_map
from limae_jax.config.env_base import MAX_STEPS, MAX_TICKS, CompiledConfig, EnvConfig, HostPlayedConfig
from limae_jax.config.other_games import GymnasiumConfig, JaxmarlConfig, PettingzooConfig


@dataclass(frozen=True)
class SmaxConfig(CompiledConfig):
    """SMAX against its scripted enemy.

    The `unit_type_*` lists give one number for each of marine, marauder, stalker, zealot, zergling, hydralisk; null
    keeps jaxmarl's.

    Attributes:
        sight_scale: factor on how far the *allies* see, in (0, 1]; the scripted enemy sees as before.
        enemy_shoots: False gives an enemy that only walks.
        attack_mode: how the enemy picks a target, `closest` or `random`.
        walls_cause_death: whether touching the map's edge kills.
        see_enemy_actions: whether observations show the enemies' last moves and targets.
        observes_enemy_cooldowns: whether the allies' observations show how soon an enemy can shoot again.
        observes_positions_and_cooldowns: whether an ally's observation shows its own place on the map, and how soon it
            and its team-mates can shoot again; where others are relative to it is always shown.
        max_steps: time limit in environment steps; an episode that reaches it is truncated, not lost. null is the
            limit of SMAC's map of the same name.
        won_battle_bonus: reward for killing the last enemy; damage brings 1 in all.
        use_self_play_reward: damage brings nothing, and losing costs `won_battle_bonus`.
        map_width, map_height: of the field, in SMAX's units of length.
        world_steps_per_env_step: ticks of the game for each action.
        time_per_step: seconds of the game for each tick.
        observation_type: `unit_list` or `conic`.
        unit_type_velocities: how far a unit moves in a second.
        unit_type_attacks: damage of a shot.
        unit_type_attack_ranges, unit_type_sight_ranges: how far a unit shoots and sees.
        unit_type_radiuses: size of a unit.
        unit_type_health: of a unit at full health.
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
            # Whom an entry of a cone shows, and so whether it may be hidden, is not known.
            can_hide = getattr(self, name) or self.observation_type == "unit_list"
            self._check(can_hide, name, "needs env.observation_type=unit_list")
        parse_scenario(self.scenario)
        self._settle_max_steps()
        for name in (item.name for item in dataclasses.fields(self) if item.name.startswith("unit_type_")):
            values = getattr(self, name)
            if values is not None:
                self._check(len(values) == len(UNIT_TYPES), name, f"needs {len(UNIT_TYPES)} numbers, one a unit type")
                self._check(all(value > 0 for value in values), name, "must hold numbers greater than 0")

    def _settle_max_steps(self) -> None:
        if self.max_steps is None:
            fix = f"SMAC has no map {self.scenario} whose limit it could take; give a number"
            self._check(self.scenario in SMAC_MAPS, "max_steps", fix)
            object.__setattr__(self, "max_steps", SMAC_MAPS[self.scenario].limit)


@dataclass(frozen=True)
class MpeConfig(CompiledConfig):
    """Cooperative multi-agent particle environments of jaxmarl.

    Attributes:
        scenario: see `catalogue.scenarios.MPE_SCENARIOS`.
        num_agents: team size where the scenario lets one choose; null keeps jaxmarl's.
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
    """Games of a few stages whose best play is known; they prove learners.

    Attributes:
        scenario: see `environments.matrix_games.MATRIX_SCENARIOS`.
        penalty: what the `penalty` game pays where the agents mix up its two best payoffs.
        length: stages of the `cliffwalk`.
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
    """Real StarCraft II through oxwhirl/smac, one game in each of several worker processes.

    The fields from `sight` on are for evaluating teams trained on SMAX, which play translated.

    Attributes:
        scenario: SMAC map, see `limae-jax list scenarios`.
        difficulty: of the built-in enemy, 1 to 9 and A; 7 ("very hard") is the published protocol's.
        step_mul: game loops for each action, of which the game makes 22.4 a second.
        sight: `smac` shows SMAX's units only within SMAC's range of 9, `smax` as far as SMAX would.
        attack_mask: `smac` allows an attack where the game does (within 6), `weapon` within SMAX's weapon range.
        is_strict: hide what SMAC's own observations do not have: an agent's place on the map, all cooldowns, and what
            the enemies did last.
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


# Which settings an environment family has, by `env.name`.
ENV_CONFIGS: dict[str, type[EnvConfig]] = {
    "smax": SmaxConfig,
    "mpe": MpeConfig,
    "jaxmarl": JaxmarlConfig,
    "matrix": MatrixConfig,
    "smac": SmacConfig,
    "pettingzoo": PettingzooConfig,
    "gymnasium": GymnasiumConfig,
}
