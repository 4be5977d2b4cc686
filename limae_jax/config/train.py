"""All settings of one training run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from limae_jax.checks import Section, check, check_types
from limae_jax.config.context import MaeConfig, WindowConfig
from limae_jax.config.env import ENV_CONFIGS, SmaxConfig
from limae_jax.config.env_base import EnvConfig
from limae_jax.config.masking import MASKING_CONFIGS, MaskingConfig
from limae_jax.config.mixer import MIXER_CONFIGS, MixerConfig
from limae_jax.config.plugins import plugins_of
from limae_jax.config.run import REPLAY_CONFIGS, CheckpointConfig, EvalConfig, MetricsConfig, ReplayConfig, RunConfig
from limae_jax.config.system import SYSTEM_CONFIGS, QmixConfig, SystemConfig, mixers_of
from limae_jax.errors import InputError
from limae_jax.registry import check_name

_Section = TypeVar("_Section", bound=Section)


@dataclass(frozen=True)
class TrainConfig:
    """All settings of one training run; `limae-jax config` prints them.

    Sections that the system does not read are None; a missing section that it reads gets the system's defaults.
    """

    env: EnvConfig = field(default_factory=SmaxConfig)
    system: SystemConfig = field(default_factory=QmixConfig)
    mixer: MixerConfig | None = None
    mae: WindowConfig | None = None
    masking: MaskingConfig | None = None
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        check_types("", self)
        _check_class("env", self.env, ENV_CONFIGS)
        _check_class("system", self.system, SYSTEM_CONFIGS)
        self._settle_mixer()
        self._settle_beliefs()
        fitting = REPLAY_CONFIGS[self.replay.kind]
        fix = f"needs class {fitting.__name__}"
        check(type(self.replay) is fitting, "replay.kind", self.replay.kind, fix)
        self._check_replay()
        if self.system.reward_scale is None:
            self._set("system", replace(self.system, reward_scale=self.env.reward_scale))
        chosen = [("env", self.env.name), ("system", self.system.name), ("mixer", self.mixing.name)]
        self._set("run", replace(self.run, plugins=plugins_of([*chosen, ("masking", self.rule)])))

    def _set(self, section: str, value: Any) -> None:
        object.__setattr__(self, section, value)

    def _check_replay(self) -> None:
        """Checks that the replay holds an iteration's rows, or that nothing is set for a replay that there is not."""
        if type(self.system).stores_rows:
            rows, envs = self.replay.capacity_rows, self.env.num_envs
            check(rows >= envs, "replay.capacity_rows", rows, f"must be at least env.num_envs={envs}")
            return
        fix = f"has no effect with system={self.system.name}, which stores no rows; leave it out"
        for item in fields(ReplayConfig):
            value = getattr(self.replay, item.name)
            check(item.name == "row_length" or value == item.default, f"replay.{item.name}", value, fix)

    def _settle_mixer(self) -> None:
        """Fills in the system's default mixer; refuses a mixer that the system cannot have."""
        mixers = mixers_of(type(self.system))
        if self.mixer is None:
            self._set("mixer", MIXER_CONFIGS[mixers[0]](name=mixers[0]))
            return
        _check_class("mixer", self.mixer, MIXER_CONFIGS)
        others = [name for name, made in SYSTEM_CONFIGS.items() if self.mixer.name in mixers_of(made)]
        fix = f"system={self.system.name} has mixer={mixers[0]}; choose system={' or '.join(others)}"
        check(self.mixer.name in mixers, "mixer", self.mixer.name, fix)

    def _settle_beliefs(self) -> None:
        """Fills in the system's sections `mae` and `masking`; refuses sections that it does not read."""
        system = type(self.system)
        if self.mae is None and system.beliefs is not None:
            self._set("mae", system.beliefs())
        if self.masking is None and system.rule is not None:
            self._set("masking", MASKING_CONFIGS[system.rule](name=system.rule))
        is_fitting = type(self.mae) is (system.beliefs or type(None))
        if not is_fitting:
            raise InputError(f"mae: does not fit system={self.system.name}; leave it out")
        if self.masking is not None:
            _check_class("masking", self.masking, MASKING_CONFIGS)
            if system.rule is None:
                raise InputError(f"masking: is not read by system={self.system.name}; leave it out")
            if isinstance(self.mae, MaeConfig) and self.mae.training == "masked":
                fix = "has no effect with mae.training=masked; set mae.training=one_view or leave it out"
                check(self.masking.chooses == "targets", "masking.chooses", self.masking.chooses, fix)

    @property
    def run_dir(self) -> str:
        """The run directory: `run.dir`, else `runs/<run.name>`, else `runs/<system>_<scenario>`."""
        return self.run.dir or f"runs/{self.run.name or f'{self.system.name}_{self.env.scenario}'}"

    @property
    def reward_scale(self) -> float:
        """Factor on the reward before it enters a target."""
        scale = self.system.reward_scale
        return self.env.reward_scale if scale is None else scale

    @property
    def mixing(self) -> MixerConfig:
        """The mixer's settings."""
        return _there(self.mixer, MixerConfig)

    @property
    def team_window(self) -> WindowConfig:
        """Settings of the windows that agents draw context from; ValueError if the system has none."""
        return _there(self.mae, WindowConfig)

    @property
    def auto_encoder(self) -> MaeConfig:
        """Settings of the auto-encoder; ValueError if the system has none."""
        return _there(self.mae, MaeConfig)

    @property
    def masking_rule(self) -> MaskingConfig:
        """Settings of the masking rule; ValueError if the system has none."""
        return _there(self.masking, MaskingConfig)

    @property
    def rule(self) -> str | None:
        """Name of the masking rule; None if the system has none."""
        return self.masking.name if self.masking else None

    @property
    def has_context(self) -> bool:
        """Whether the agents have beliefs about their team, and remember a window to form them."""
        return self.mae is not None and self.mae.context != "off"

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the run."""
        return tuple(range(self.run.first_seed, self.run.first_seed + self.run.num_seeds))


def _there(section: Any, kind: type[_Section]) -> _Section:
    if not isinstance(section, kind):
        raise ValueError(f"the system has no {kind.__name__}")
    return section


def _check_class(section: str, settings: Any, classes: dict[str, Any]) -> None:
    """Checks that the settings have the class that their name selects."""
    check_name(section, settings.name, classes)
    fitting: type[Section] = classes[settings.name]
    check(type(settings) is fitting, f"{section}.name", settings.name, f"needs class {fitting.__name__}")
