"""Settings of a run and of what it keeps: replay, evaluation, checkpoints, metrics."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from limae_jax.checks import MAX_INT, Section, check_path
from limae_jax.config.env_base import MAX_STEPS

# More seeds are several runs, see `run.first_seed`.
MAX_SEEDS = 10_000


# An evaluation of more does not end in days.
MAX_EPISODES = 1_000_000


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
        kind: `uniform` draws all rows alike, `prioritised` those more often that there is more to learn from.
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
    """Rows with priorities.

    Attributes:
        priority: whose absolute TD errors make a row's priority, the `team`'s or those of its living `agents`.
        priority_exponent: alpha, how much the priority counts; 0 is not at all.
        importance_exponent: beta at first, how far importance weights make up for it in the TD loss; 1 is in full.
        importance_anneal_env_steps: environment steps after which beta has risen to 1, linearly.
        recency_decay: factor on a row's probability for each later block of `env.num_envs` rows; 1 is none.
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
    """Greedy evaluation.

    Attributes:
        every_time_steps: evaluate whenever this many time steps of each seed have passed, at most once a chunk (4096).
        num_episodes: environments, each of which plays one episode to its end.
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
    """Saving.

    Attributes:
        every_s: seconds of work that a kill -9 may cost at most.
        keep_replay: whether a finished run keeps its replay on disk, so that extending it equals never having stopped.
            Otherwise the replay is dropped at the end, and a run that is extended first fills it again.
    """

    section: ClassVar[str] = "checkpoint"

    every_s: float = 60.0
    keep_replay: bool = False

    def __post_init__(self) -> None:
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

    def __post_init__(self) -> None:
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
        plugins: modules that the run needs beside this package; filled in by itself.
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
