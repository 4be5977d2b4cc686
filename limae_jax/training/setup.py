"""Puts a run together: environment, system, replay, compiled programs. Nothing is allocated or compiled here."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from limae_jax.config import TrainConfig
from limae_jax.environments import make_env
from limae_jax.environments.base import Environment
from limae_jax.environments.vector import VectorEnv
from limae_jax.replay.uniform import uniform_replay
from limae_jax.systems.build import build_system
from limae_jax.training.evaluator import evaluate_seed
from limae_jax.training.loop import Parts, init_seed, make_chunk
from limae_jax.training.plan import PhasePlan, plan_phases
from limae_jax.training.sharding import SeedProgram, seed_mesh
from limae_jax.types import Clock


@dataclass
class Setup:
    """Everything of a run that does not change while it runs.

    Attributes:
        config: the settings.
        env: the game, one copy.
        parts: what the training program is made of.
        plans: phases on the clock.
        mesh: devices.
        init: program (seeds [S]) -> SeedState.
        chunks: program of each phase, (SeedState, Clock) -> (SeedState, metrics); donates its state.
        evaluate: program ((seeds [S], params, iteration [S])) -> metrics.
    """

    config: TrainConfig
    env: Environment
    parts: Parts
    plans: list[PhasePlan]
    mesh: Mesh
    init: SeedProgram = field(init=False)
    chunks: dict[str, SeedProgram] = field(init=False)
    evaluate: SeedProgram = field(init=False)

    def __post_init__(self):
        # In turn: vmapped over three seeds, the QR behind orthogonal weights can hang XLA's CPU backend for good.
        self.init = SeedProgram(partial(init_seed, self.parts), self.mesh, in_turn=True)
        self.chunks = {
            plan.phase.name: SeedProgram(
                make_chunk(self.parts, plan.phase, plan.iterations_per_chunk), self.mesh, donate=True
            )
            for plan in self.plans
        }

        episodes = self.config.evaluation.num_episodes
        self.evaluate = SeedProgram(partial(evaluate_seed, self.env, self.parts.system, episodes), self.mesh)

    @property
    def compile_s(self) -> float:
        """Seconds spent on compiling so far."""
        return sum(program.compile_s for program in (self.init, self.evaluate, *self.chunks.values()))


def make_setup(config: TrainConfig) -> Setup:
    """Builds the pieces that the configuration names, over all devices there are."""
    env = make_env(config.env)
    system = build_system(config, env.spec)
    parts = Parts(config, VectorEnv(env, config.env.num_envs), system, uniform_replay(config.replay))
    return Setup(config, env, parts, plan_phases(config, system.phases), seed_mesh())


def configure_jax(config: TrainConfig) -> None:
    """Settings that must be made before jax starts its backend."""
    if config.run.deterministic:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    if config.run.seed_batching == "auto" and "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        # One seed a core: faster on a CPU than all cores for one seed. Other backends do not look at this.
        with contextlib.suppress(RuntimeError):  # jax runs already, on the devices that it has
            jax.config.update("jax_num_cpu_devices", _seeds_side_by_side(config))
    if config.run.compilation_cache and not jax.config.values["jax_compilation_cache_dir"]:
        default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "limae_jax" / "xla"
        jax.config.update("jax_compilation_cache_dir", str(default))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _seeds_side_by_side(config: TrainConfig) -> int:
    """How many seeds to train at the same time on the cores of a CPU, in as few rounds as there can be."""
    groups = Path(config.run_dir) / "groups.json"
    if groups.exists():
        return len(json.loads(groups.read_text())[0])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rounds = -(-config.run.num_seeds // cores)
    return -(-config.run.num_seeds // rounds)


def available_memory(config: TrainConfig) -> tuple[int, str]:
    """Bytes that one device can give a run, and what to call them."""
    if config.run.max_memory_gib is not None:
        return int(config.run.max_memory_gib * 2**30), "allowed by run.max_memory_gib"
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]), f"on {device.device_kind}"
    return _host_memory() // jax.local_device_count(), "of memory free on this machine"


def _host_memory() -> int:
    """Bytes that the host has free, or that its control group leaves, whichever is less."""
    import psutil

    free = int(psutil.virtual_memory().available)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (text := limit.read_text().strip()) != "max":
        free = min(free, int(text) - int(used.read_text()))
    return free


def clock_at(iteration: int) -> Clock:
    """The clock's reading, as every host can hand it to a program."""
    return Clock(np.int32(iteration))
