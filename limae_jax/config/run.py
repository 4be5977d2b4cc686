"""Settings of a run, its replay, evaluation, checkpoints and metrics."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from limae_jax.checks import MAX_INT, Section, check_path
from limae_jax.config.env_base import MAX_STEPS

# Split more seeds over several runs, see `run.first_seed`.
MAX_SEEDS = 10_000


# More episodes would take days.
MAX_EPISODES = 1_000_000


@dataclass(frozen=True)
class ReplayConfig(Section):
    """Settings of the replay. It holds rows: `row_length` consecutive time steps of one environment copy.

    Attributes:
        row_length: time steps per row; also the steps that each environment copy plays between updates.
        capacity_rows: rows kept per seed; the oldest are overwritten.
        batch_rows: rows in the batch of a gradient step.
        min_rows: rows of random legal play before the first gradient step; rounded up to chunks of 4096 time steps.
        observation_dtype: `float32`, or `float16` to halve the memory of observations and states.
        initial_carry: `stored` starts a sampled row from the recurrent state it was collected with, `zeros` from 0.
        kind: `uniform` samples all rows equally often, `prioritised` samples rows with high TD errors more often.
    """

    section: ClassVar[str] = "replay"

    row_length: int = 64
    capacity_rows: int = 1500
    batch_rows: int = 16
    min_rows: int = 64
    observation_dtype: str = "float32"
    initial_carry: str = "stored"
    kind: str = "uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("row_length", "capacity_rows", "batch_rows", "min_rows")
        self._at_most(MAX_STEPS, "row_length")
        self._one_of("observation_dtype", "float32", "float16")
        self._one_of("initial_carry", "stored", "zeros")
        self._one_of("kind", "uniform", "prioritised")
        fix = f"must not exceed replay.capacity_rows={self.capacity_rows}"
        for name in ("min_rows", "batch_rows"):
            self._check(getattr(self, name) <= self.capacity_rows, name, fix)


@dataclass(frozen=True)
class PrioritisedReplayConfig(ReplayConfig):
    """Settings of prioritised replay.

    Attributes:
        priority: whose absolute TD errors define a row's priority, the `team`'s or those of its living `agents`.
        priority_exponent: alpha, exponent of the priorities; 0 ignores them.
        importance_exponent: initial beta, how far importance weights correct the TD loss; 1 corrects it fully.
        importance_anneal_env_steps: environment steps over which beta rises linearly to 1.
        recency_decay: factor on a row's probability for each later block of `env.num_envs` rows; 1 disables it.
    """

    traced: ClassVar[tuple[str, ...]] = (
        "priority_exponent",
        "importance_exponent",
        "importance_anneal_env_steps",
        "recency_decay",
    )

    kind: str = "prioritised"
    priority: str = "team"
    priority_exponent: float = 0.6
    importance_exponent: float = 0.4
    importance_anneal_env_steps: int = 500_000
    recency_decay: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("importance_anneal_env_steps")
        self._one_of("priority", "team", "agents")
        for name in ("priority_exponent", "importance_exponent"):
            self._check(0 <= getattr(self, name) <= 1, name, "must be between 0 and 1")
        self._check(0 < self.recency_decay <= 1, "recency_decay", "must be greater than 0 and at most 1")


# Kind -> the class of its settings.
REPLAY_CONFIGS: dict[str, type[ReplayConfig]] = {"uniform": ReplayConfig, "prioritised": PrioritisedReplayConfig}


@dataclass(frozen=True)
class EvalConfig(Section):
    """Settings of greedy evaluation.

    Attributes:
        every_time_steps: time steps of each seed between evaluations; at most one evaluation per chunk (4096).
        num_episodes: number of environments, each of which plays one whole episode.
    """

    section: ClassVar[str] = "evaluation"

    every_time_steps: int = 25_000
    num_episodes: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("every_time_steps", "num_episodes")
        self._at_most(MAX_EPISODES, "num_episodes")


@dataclass(frozen=True)
class CheckpointConfig(Section):
    """Settings of checkpoints.

    Attributes:
        every_s: most seconds of work that a kill -9 may lose.
        keep_replay: whether a finished run keeps its replay on disk, so that an extended run equals one that never
            stopped. Otherwise the replay is dropped at the end, and an extended run first refills it.
    """

    section: ClassVar[str] = "checkpoint"

    every_s: float = 60.0
    keep_replay: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("every_s")


@dataclass(frozen=True)
class MetricsConfig(Section):
    """Settings of the metrics' destinations other than metrics.jsonl.

    Attributes:
        tensorboard: whether to write event files to RUN_DIR/tensorboard (extra `tensorboard`).
        wandb: whether to log to Weights & Biases (extra `wandb`).
        wandb_project, wandb_entity: W&B project and its owner; a null owner is the login's default.
        wandb_group: W&B group; null is the cell of a sweep, or the run's name without its seeds.
        wandb_tags: W&B tags of the run.
        wandb_video: whether to log a battle of the best seed at the end, for runs on SMAX.
    """

    section: ClassVar[str] = "metrics"

    tensorboard: bool = False
    wandb: bool = False
    wandb_project: str = "limae_jax"
    wandb_entity: str | None = None
    wandb_group: str | None = None
    wandb_tags: tuple[str, ...] = ()
    wandb_video: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(self.wandb or not self.wandb_video, "wandb_video", "needs metrics.wandb=true")
        if self.wandb:
            self._check_wandb()

    def _check_wandb(self) -> None:
        """Checks what Weights & Biases would refuse only after training has begun."""
        fix = "must have 1 to 128 characters and none of / \\ # ? % :"
        self._check(bool(re.fullmatch(r"[^/\\#?%:]{1,128}", self.wandb_project)), "wandb_project", fix)
        for name in ("wandb_entity", "wandb_group"):
            value = getattr(self, name)
            self._check(value is None or 1 <= len(value.strip()) <= 128, name, "must have 1 to 128 characters")
        self._check(all(1 <= len(tag) <= 64 for tag in self.wandb_tags), "wandb_tags", "a tag has 1 to 64 characters")


@dataclass(frozen=True)
class RunConfig(Section):
    """Settings of the run.

    Attributes:
        name: name of the run directory `runs/<name>`; null means `<system>_<scenario>`.
        dir: run directory, instead of `runs/<name>`.
        num_seeds, first_seed: seeds first_seed .. first_seed + num_seeds - 1, each an independent run.
        total_env_steps: the run ends when every seed has made this many environment steps.
        seed_batching: `vmapped` trains all seeds at once, `sequential` one after the other, a number in groups of
            that size; `auto` is `vmapped` on an accelerator, and one seed per core on a CPU.
        deterministic: whether to use only deterministic kernels on a GPU, so that runs repeat bit for bit.
        compilation_cache: whether to keep compiled programs on disk, so that the next start is quick.
        max_memory_gib: memory budget of the run in GiB; null asks the device.
        plugins: plug-in modules that the run needs; filled in automatically.
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
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
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
