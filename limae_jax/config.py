"""Every setting of a run, as frozen dataclasses. YAML and the command line are checked against them.

Nothing here imports jax, so a mistake is answered at once. Fields that count environment steps end in
`_env_steps`; one environment step is one joint action of a team. What is due on the clock that all seeds share
(evaluations, pre-training) counts time steps: environment steps and the final observation of each episode.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

from limae_jax.checks import MAX_INT, Section, check, check_path, check_types
from limae_jax.env_config import ENV_CONFIGS, MAX_STEPS, EnvConfig, MatrixConfig, MpeConfig, SmacConfig, SmaxConfig
from limae_jax.mae_config import MAX_LAYERS, MAX_UPDATES, MAX_WIDTH, MaeConfig, MaskingConfig
from limae_jax.masking.names import RULES
from limae_jax.registry import check_name
from limae_jax.systems.names import CONTEXT_SYSTEMS, MIXER_NAMES, check_system, mixer_of, unread_of_the_mixer

__all__ = [
    "ENV_CONFIGS",
    "CheckpointConfig",
    "EnvConfig",
    "EvalConfig",
    "MaeConfig",
    "MaskingConfig",
    "MatrixConfig",
    "MetricsConfig",
    "MpeConfig",
    "ReplayConfig",
    "RunConfig",
    "SmacConfig",
    "SmaxConfig",
    "SystemConfig",
    "TrainConfig",
]

# More seeds are several runs, see `run.first_seed`.
MAX_SEEDS = 10_000
# An evaluation of more does not end in days.
MAX_EPISODES = 1_000_000

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
class SystemConfig(Section):
    """The learner. Defaults are PyMARL2's where they carry over (see docs/differences.md).

    Attributes:
        name: system, see `limae-jax list systems`.
        hidden_size: width of the agent's input layer and of its GRU.
        mixer: `qmix`, `qplex`, `vdn` or `none` in place of the one that ma2e, li_ma2e and oracle come with; null keeps
            that.
        mixer_embed_dim: width of QMIX's mixing layer.
        mixer_hypernet_dim: width of the hidden layers of QMIX's and QPLEX's hypernetworks.
        mixer_num_heads: heads that QPLEX's weights of the advantages are summed over.
        mixer_num_layers: layers of the networks of these weights.
        gamma: discount per environment step.
        td_lambda: 0 is one-step TD, 1 is Monte Carlo within a row.
        double_q: whether the online network picks the action that the target network values.
        learning_rate: Adam's step size.
        max_grad_norm: gradients are scaled down to this global norm.
        reward_scale: factor on the reward before it enters a target; null: 10 on SMAX, else 1.
        target_update_env_steps: the target network is copied whenever this many environment steps have passed.
        updates_per_iteration: gradient steps after each collected block of `env.num_envs` rows.
        epsilon_start, epsilon_end, epsilon_decay_env_steps: linear exploration schedule of the training phase.
    """

    section: ClassVar[str] = "system"

    name: str = "qmix"
    hidden_size: int = 64
    mixer: str | None = None
    mixer_embed_dim: int = 32
    mixer_hypernet_dim: int = 64
    mixer_num_heads: int = 4
    mixer_num_layers: int = 2
    gamma: float = 0.99
    td_lambda: float = 0.6
    double_q: bool = True
    learning_rate: float = 1e-3
    max_grad_norm: float = 10.0
    reward_scale: float | None = None
    target_update_env_steps: int = 5000
    updates_per_iteration: int = 4
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    epsilon_decay_env_steps: int = 100_000

    def __post_init__(self):
        super().__post_init__()
        positive = "hidden_size mixer_embed_dim mixer_hypernet_dim learning_rate max_grad_norm reward_scale"
        positive += (
            " mixer_num_heads mixer_num_layers target_update_env_steps updates_per_iteration epsilon_decay_env_steps"
        )
        self._positive(*positive.split())
        self._at_most(MAX_WIDTH, "hidden_size", "mixer_embed_dim", "mixer_hypernet_dim")
        self._at_most(MAX_UPDATES, "updates_per_iteration")
        self._at_most(MAX_LAYERS, "mixer_num_heads", "mixer_num_layers")
        for name in ("gamma", "td_lambda", "epsilon_start", "epsilon_end"):
            self._check(0 <= getattr(self, name) <= 1, name, "must be between 0 and 1")
        self._check(self.epsilon_end <= self.epsilon_start, "epsilon_end", "must not exceed system.epsilon_start")
        if self.mixer is not None:
            self._one_of("mixer", *MIXER_NAMES)
            fix = "is for ma2e, li_ma2e and oracle; choose system=iql, vdn, qmix or qplex instead"
            self._check(self.name in CONTEXT_SYSTEMS, "mixer", fix)


@dataclass(frozen=True)
class ReplayConfig(Section):
    """Replay of rows: `row_length` consecutive time steps of one environment copy.

    Attributes:
        row_length: time steps a row; also the steps that each environment copy plays between updates.
        capacity_rows: rows kept for each seed; the oldest is overwritten.
        batch_rows: rows in a gradient step's batch.
        min_rows: rows of random legal play before the first gradient step; rounded up to chunks of 4096 time steps.
        observation_dtype: `float32`, or `float16` to halve the memory of observations and states.
        initial_carry: `stored` starts a sampled row from the recurrent state it was collected with, `zeros` from 0.
    """

    section: ClassVar[str] = "replay"

    row_length: int = 64
    capacity_rows: int = 1500
    batch_rows: int = 16
    min_rows: int = 64
    observation_dtype: str = "float32"
    initial_carry: str = "stored"

    def __post_init__(self):
        super().__post_init__()
        self._positive("row_length", "capacity_rows", "batch_rows", "min_rows")
        self._at_most(MAX_STEPS, "row_length")
        self._one_of("observation_dtype", "float32", "float16")
        self._one_of("initial_carry", "stored", "zeros")
        fix = f"must not exceed replay.capacity_rows={self.capacity_rows}"
        for name in ("min_rows", "batch_rows"):
            self._check(getattr(self, name) <= self.capacity_rows, name, fix)


@dataclass(frozen=True)
class EvalConfig(Section):
    """Greedy evaluation.

    Attributes:
        every_env_steps: evaluate whenever this many time steps of each seed have passed, at most once a chunk (4096).
        num_episodes: environments, each of which plays one episode to its end.
    """

    section: ClassVar[str] = "evaluation"

    every_env_steps: int = 25_000
    num_episodes: int = 128

    def __post_init__(self):
        super().__post_init__()
        self._positive("every_env_steps", "num_episodes")
        self._at_most(MAX_EPISODES, "num_episodes")


@dataclass(frozen=True)
class CheckpointConfig(Section):
    """Saving.

    Attributes:
        every_s: seconds of work that a kill -9 may cost at most.
        keep_replay: whether a finished run keeps its replay on disk, so that extending it equals never having stopped.
            Otherwise the replay is dropped at the end, and a run that is extended first fills it again.
    """

    section: ClassVar[str] = "checkpoint"

    every_s: float = 60.0
    keep_replay: bool = False

    def __post_init__(self):
        super().__post_init__()
        self._positive("every_s")


@dataclass(frozen=True)
class MetricsConfig(Section):
    """Where metrics go beside metrics.jsonl.

    Attributes:
        tensorboard: write event files to RUN_DIR/tensorboard (extra `tensorboard`).
        wandb: log to Weights & Biases (extra `wandb`).
        wandb_project, wandb_entity: the project there, and whose it is; null is the login's own.
        wandb_group: gathers runs there; null is the cell of a sweep, or the run's name without its seeds.
        wandb_tags: of the run there.
        wandb_video: log a battle of the best seed at the end, for runs on SMAX.
    """

    section: ClassVar[str] = "metrics"

    tensorboard: bool = False
    wandb: bool = False
    wandb_project: str = "limae_jax"
    wandb_entity: str | None = None
    wandb_group: str | None = None
    wandb_tags: tuple[str, ...] = ()
    wandb_video: bool = False

    def __post_init__(self):
        super().__post_init__()
        self._check(self.wandb or not self.wandb_video, "wandb_video", "needs metrics.wandb=true")
        if self.wandb:
            self._check_wandb()

    def _check_wandb(self) -> None:
        """What the service would refuse, once training has begun."""
        fix = "must have 1 to 128 characters, none of them one of / \\ # ? % :"
        self._check(bool(re.fullmatch(r"[^/\\#?%:]{1,128}", self.wandb_project)), "wandb_project", fix)
        for name in ("wandb_entity", "wandb_group"):
            value = getattr(self, name)
            self._check(value is None or 1 <= len(value.strip()) <= 128, name, "must have 1 to 128 characters")
        self._check(all(1 <= len(tag) <= 64 for tag in self.wandb_tags), "wandb_tags", "a tag has 1 to 64 characters")


@dataclass(frozen=True)
class RunConfig(Section):
    """The run.

    Attributes:
        name: names the run directory `runs/<name>`; null means `<system>_<scenario>`.
        dir: run directory, in place of `runs/<name>`.
        num_seeds, first_seed: seeds first_seed .. first_seed + num_seeds - 1, each an independent run.
        total_env_steps: the run ends when every seed has made this many environment steps.
        seed_batching: `vmapped` trains all seeds at once, `sequential` one after the other, a number in groups of
            that size; `auto` is `vmapped` on an accelerator, and on a CPU one seed a core.
        deterministic: on a GPU, use only deterministic kernels, so that runs repeat bit for bit.
        compilation_cache: keep compiled programs on disk, so that the next start is quick.
        max_memory_gib: memory that a run may plan for, in GiB; null asks the device.
    """

    section: ClassVar[str] = "run"

    name: str | None = None
    dir: str | None = None
    num_seeds: int = 1
    first_seed: int = 0
    total_env_steps: int = 500_000
    seed_batching: str = "auto"
    deterministic: bool = False
    compilation_cache: bool = True
    max_memory_gib: float | None = None

    def __post_init__(self):
        super().__post_init__()
        self._positive("num_seeds", "total_env_steps", "max_memory_gib")
        self._at_most(MAX_SEEDS, "num_seeds")
        self._check(self.first_seed >= 0, "first_seed", "must not be negative")
        fix = f"the last seed must not exceed {MAX_INT}"
        self._check(self.first_seed + self.num_seeds - 1 <= MAX_INT, "first_seed", fix)
        fix = "choose auto, vmapped, sequential or a group size such as 4"
        is_known = re.fullmatch("auto|vmapped|sequential|[1-9][0-9]{0,8}", self.seed_batching)
        self._check(bool(is_known), "seed_batching", fix)
        if self.name is not None:
            fix = "must be a plain folder name (use run.dir for a path)"
            self._check(self.name.strip() not in ("", ".", "..") and "/" not in self.name, "name", fix)
            check_path("run.name", self.name)
        self._path("dir")


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
