"""Puts a run together: environment, system, replay, compiled programs. Nothing is allocated or compiled here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from limae_jax.config import TrainConfig
from limae_jax.environments import make_env, open_games
from limae_jax.environments.base import Environment
from limae_jax.environments.vector import VectorEnv
from limae_jax.replay.uniform import uniform_replay
from limae_jax.systems.build import build_system
from limae_jax.training.evaluator import evaluate_seed
from limae_jax.training.host_memory import free_memory
from limae_jax.training.host_player import HostPlayer
from limae_jax.training.host_programs import HostChunk, HostEvaluation
from limae_jax.training.loop import Parts, init_seed, make_chunk_under_own_settings
from limae_jax.training.plan import PhasePlan, plan_phases
from limae_jax.training.run_directory import GROUPS_FILE, read_groups
from limae_jax.training.sharding import SeedProgram, seed_mesh
from limae_jax.types import Clock, PyTree


class Program(Protocol):
    """What a run calls: (per seed with a leading [S], *shared) -> per seed."""

    @property
    def compile_s(self) -> float: ...

    def __call__(self, per_seed: PyTree, /, *shared: PyTree) -> Any: ...


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
        player: of games that the host plays; None if the game is part of the programs.
    """

    config: TrainConfig
    env: Environment
    parts: Parts
    plans: list[PhasePlan]
    mesh: Mesh
    init: Program
    chunks: Mapping[str, Program]
    evaluate: Program
    player: HostPlayer | None = None

    @property
    def compile_s(self) -> float:
        """Seconds spent on compiling so far."""
        return sum(program.compile_s for program in (self.init, self.evaluate, *self.chunks.values()))

    def close(self) -> None:
        """Ends games that the host plays."""
        if self.player is not None:
            self.player.close()


def make_setup(config: TrainConfig, num_devices: int | None = None) -> Setup:
    """Builds the pieces that the configuration names.

    Args:
        config: of the run, or of one of the runs that share a program.
        num_devices: to use; None is all there are. Games that the host plays use one in any case.
    """
    env = make_env(config.env)
    system = build_system(config, env.spec)
    parts = Parts(config, VectorEnv(env, config.env.num_envs), system, uniform_replay(config.replay))
    is_host_played = config.env.is_played_by_host
    mesh = seed_mesh(1 if is_host_played else num_devices)
    # In turn: vmapped over three seeds, the QR behind orthogonal weights can hang XLA's CPU backend for good.
    init = SeedProgram(partial(init_seed, parts), mesh, in_turn=True)
    make_programs = _host_programs if is_host_played else _compiled_programs
    return make_programs(config, env, parts, mesh, init)


def _compiled_programs(config: TrainConfig, env: Environment, parts: Parts, mesh: Mesh, init: Program) -> Setup:
    plans = plan_phases(config, parts.system.phases)
    chunks = {}
    for plan in plans:
        chunk = make_chunk_under_own_settings(parts, plan.phase, plan.iterations_per_chunk)
        chunks[plan.phase.name] = SeedProgram(chunk, mesh, donate=True)
    evaluate = SeedProgram(partial(evaluate_seed, env, parts.system, config.evaluation.num_episodes), mesh)
    return Setup(config, env, parts, plans, mesh, init, chunks, evaluate)


def _host_programs(config: TrainConfig, env: Environment, parts: Parts, mesh: Mesh, init: Program) -> Setup:
    # One iteration at a time: a game's step takes long enough to hide the host.
    plans = plan_phases(config, parts.system.phases, chunk_time_steps=1)
    player = HostPlayer(parts.system, config.env.num_envs, partial(open_games, config.env))
    chunks = {plan.phase.name: HostChunk(parts, plan.phase, player, mesh) for plan in plans}
    evaluate = HostEvaluation(player, config.evaluation.num_episodes)
    return Setup(config, env, parts, plans, mesh, init, chunks, evaluate, player)


def configure_jax(config: TrainConfig, num_seeds: int | None = None) -> None:
    """Settings that must be made before jax starts its backend.

    Args:
        config: of the run, or of one of those to come.
        num_seeds: to train side by side on the cores of a CPU; None goes by the run.
    """
    if config.run.deterministic:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    if config.run.seed_batching == "auto" and "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        # One seed a core: faster on a CPU than all cores for one seed. Other backends do not look at this.
        with contextlib.suppress(RuntimeError):  # jax runs already, on the devices that it has
            jax.config.update("jax_num_cpu_devices", num_seeds or _side_by_side_of(config))
    if config.run.compilation_cache and not jax.config.values["jax_compilation_cache_dir"]:
        default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "limae_jax" / "xla"
        jax.config.update("jax_compilation_cache_dir", str(default))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _side_by_side_of(config: TrainConfig) -> int:
    if config.env.is_played_by_host:
        return 1
    return stored_side_by_side(Path(config.run_dir)) or seeds_side_by_side(config.run.num_seeds)


def stored_side_by_side(home: Path) -> int | None:
    """How many seeds the runs of a directory were begun with at the same time; None if they were not begun."""
    return len(read_groups(home)[0]) if (home / GROUPS_FILE).exists() else None


def seeds_side_by_side(num_seeds: int) -> int:
    """How many seeds to train at the same time on the cores of a CPU, in as few rounds as there can be."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rounds = -(-num_seeds // cores)
    return -(-num_seeds // rounds)


def available_memory(config: TrainConfig) -> tuple[int, str]:
    """Bytes that one device can give a run, and what to call them."""
    if config.run.max_memory_gib is not None:
        return int(config.run.max_memory_gib * 2**30), "allowed by run.max_memory_gib"
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]), f"on {device.device_kind}"
    return free_memory() // jax.local_device_count(), "of memory free on this machine"


def clock_at(iteration: int) -> Clock:
    """The clock's reading, as every host can hand it to a program."""
    return Clock(np.int32(iteration))
