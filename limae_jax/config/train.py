"""All settings of one training run, and which of them it does not read."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from limae_jax.catalogue.masking_rules import RULES
from limae_jax.catalogue.systems import CONTEXT_SYSTEMS, check_system, mixer_of, unread_of_the_mixer
from limae_jax.checks import check, check_types
from limae_jax.config.context import MaeConfig, MaskingConfig
from limae_jax.config.env import ENV_CONFIGS, SmaxConfig
from limae_jax.config.env_base import EnvConfig
from limae_jax.config.run import CheckpointConfig, EvalConfig, MetricsConfig, ReplayConfig, RunConfig
from limae_jax.config.system import SystemConfig
from limae_jax.registry import check_name

# Heads only as the width must be a multiple of them, so that it can be that of a run that it is compared with.
_READ_BY_THE_ORACLE = ("mae.window", "mae.width", "mae.num_heads", "mae.context", "mae.pretrain_env_steps")
# Pre-training hides agents with the probability, whatever the rule.
_READ_WITH_EVERY_RULE = ("name", "granularity", "probability")


def _unread_by_rule(rule: str, name: str) -> str:
    section, _, item = name.partition(".")
    if section != "masking" or item in (*_READ_WITH_EVERY_RULE, *RULES[rule].parameters):
        return ""
    readers = [other for other in RULES if item in RULES[other].parameters]
    return f"masking={rule} does not read it; choose masking={' or '.join(readers)}"


@dataclass(frozen=True)
class TrainConfig:
    """All settings of one training run; `limae-jax config` prints them."""

    env: EnvConfig = field(default_factory=SmaxConfig)
    system: SystemConfig = field(default_factory=SystemConfig)
    mae: MaeConfig = field(default_factory=MaeConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self):
        check_types("", self)
        check_system(self.system.name)
        check_name("env", self.env.name, ENV_CONFIGS)
        fitting = ENV_CONFIGS[self.env.name]
        check(type(self.env) is fitting, "env.name", self.env.name, f"needs the settings of {fitting.__name__}")
        rows, envs = self.replay.capacity_rows, self.env.num_envs
        check(rows >= envs, "replay.capacity_rows", rows, f"must be at least env.num_envs={envs}")
        if self.system.reward_scale is None:
            object.__setattr__(self, "system", replace(self.system, reward_scale=self.env.reward_scale))
        self._settle_masking()

    def _settle_masking(self) -> None:
        """Fills in the system's own rule; refuses settings that the system would not read."""
        system = self.system.name
        if rule := CONTEXT_SYSTEMS.get(system):
            object.__setattr__(self, "masking", replace(self.masking, name=self.masking.name or rule))
        for name, reason in self.unread_settings.items():
            section, _, item = name.partition(".")
            value, default = getattr(getattr(self, section), item), getattr(type(getattr(self, section)), item)
            check(value == default, name, value, reason)

    @property
    def unread_settings(self) -> dict[str, str]:
        """Settings that would do nothing -> why, and what to do; they keep their defaults."""
        system, rule = self.system.name, self.masking.name
        of_mixer = unread_of_the_mixer(system, self.system.mixer)
        names = [f"{part.section}.{item.name}" for part in (self.masking, self.mae) for item in fields(part)]
        if rule and CONTEXT_SYSTEMS.get(system):
            return of_mixer | {name: reason for name in names if (reason := _unread_by_rule(rule, name))}
        read = _READ_BY_THE_ORACLE if system in CONTEXT_SYSTEMS else ()
        fix = f"system={system} does not read it; choose system=li_ma2e or ma2e"
        return of_mixer | {name: fix for name in names if name not in read}

    @property
    def run_dir(self) -> str:
        """Where the run lives: `run.dir`, else `runs/<run.name>`, else `runs/<system>_<scenario>`."""
        return self.run.dir or f"runs/{self.run.name or f'{self.system.name}_{self.env.scenario}'}"

    @property
    def reward_scale(self) -> float:
        """Factor on the reward before it enters a target."""
        scale = self.system.reward_scale
        return self.env.reward_scale if scale is None else scale

    @property
    def mixer(self) -> str:
        """Name of the mixer; "none" if the agents' utilities are not mixed."""
        return mixer_of(self.system.name, self.system.mixer)

    @property
    def has_context(self) -> bool:
        """Whether the agents have beliefs about their team, and remember a window for them."""
        return self.system.name in CONTEXT_SYSTEMS and self.mae.context != "off"

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the run."""
        return tuple(range(self.run.first_seed, self.run.first_seed + self.run.num_seeds))
