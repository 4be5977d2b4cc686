"""Builds the environment, system, replay and programs of a run, without allocating or compiling anything."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from limae_jax.checks import check
from limae_jax.config import TrainConfig
from limae_jax.devices.backend import available_cores, keep_compiled, start_backend
from limae_jax.devices.host_memory import free_memory
from limae_jax.devices.sharding import seed_mesh
from limae_jax.environments import make_env, open_games
from limae_jax.environments.base import Environment
from limae_jax.environments.vector import VectorEnv
from limae_jax.replay.base import allocated_bytes
from limae_jax.replay.build import build_replay
from limae_jax.rollouts.evaluator import evaluate_seed
from limae_jax.rollouts.host_player import HostPlayer
from limae_jax.runs.records import GROUPS_FILE, is_there, read_groups
from limae_jax.systems.base import OnPolicy, Phase
from limae_jax.systems.build import build_system
from limae_jax.training.compiler import Compiler
from limae_jax.training.forecast import EVALUATION
from limae_jax.training.host_programs import HostChunk, HostEvaluation
from limae_jax.training.loop import Parts, SeedState, init_seed, make_chunk_under_own_settings, row_shapes
from limae_jax.training.plan import PhasePlan, plan_phases, refill_plan
from limae_jax.training.seed_program import SeedProgram
from limae_jax.types import Clock, PyTree


class SeedCallable(Protocol):
    """A program for many seeds: (per seed with a leading [S], *shared) -> per seed."""

    def __call__(self, per_seed: PyTree, /, *shared: PyTree) -> Any:
        """Calls the program, which may compile first and may donate `per_seed`."""


@dataclass
class Setup:
    """Everything in a run that does not change during training.

    Attributes:
        config: the settings.
        env: the game, one copy.
        parts: parts of the training programs.
        plans: phases on the clock.
        mesh: devices.
        compiler: of the programs.
        init: program (seeds [S]) -> SeedState.
        chunks: program of each phase, `plan.REFILL` included, (SeedState, Clock) -> (SeedState, metrics); donates its
            state.
        evaluate: program ((seeds [S], params, iteration [S])) -> metrics.
        player: plays games that run on the host; None if the game is compiled.
    """

    config: TrainConfig
    env: Environment
    parts: Parts
    plans: list[PhasePlan]
    mesh: Mesh
    compiler: Compiler
    init: SeedProgram
    chunks: Mapping[str, SeedCallable]
    evaluate: SeedCallable
    player: HostPlayer | None = None

    def start_compiling(self, seeds: jax.Array, plans: Iterable[PhasePlan]) -> None:
        """Starts to compile the programs of a group side by side.

        Several hosts compile one program after the other, so that all do so in the same order.

        Args:
            seeds: [S], of the group.
            plans: phases that are still to come.
        """
        if jax.process_count() > 1:
            return
        state: SeedState = self.init.shapes(seeds)
        self.init.start(seeds)
        # Learning takes longest to compile and comes last.
        *others, learning = [self.chunks[plan.phase.name] for plan in plans]
        for chunk in (learning, *others):
            _start(chunk, state, clock_at(0))
        _start(self.evaluate, (state.seed, state.learner.team_params, state.seed))

    def close(self) -> None:
        """Closes games that run on the host, and drops programs that are not compiled yet."""
        self.compiler.close()
        if self.player is not None:
            self.player.close()


def _start(program: SeedCallable, *args: PyTree) -> None:
    # Programs for games on the host compile on their first call.
    if isinstance(program, SeedProgram):
        program.start(*args)


def make_setup(config: TrainConfig, num_devices: int | None = None) -> Setup:
    """Builds the parts that the configuration names.

    Args:
        config: of the run, or of one of the runs that share a program.
        num_devices: devices to use; None is all. Games on the host always use one.

    Raises:
        InputError: the environment copies cannot be split into the system's minibatches.
    """
    env = make_env(config.env)
    system = build_system(config, env.spec)
    parts = Parts(config, VectorEnv(env, config.env.num_envs), system, build_replay(config, system.stores_rows))
    _check_minibatches(config, system.phases)
    is_host_played = config.env.is_played_by_host
    mesh = seed_mesh(1 if is_host_played else num_devices)
    # In turn: vmapped over three seeds, the QR of orthogonal initialisation can hang XLA's CPU backend forever.
    compiler = Compiler(config, mesh.size)
    init = SeedProgram(partial(init_seed, parts), mesh, "init", compiler, in_turn=True)
    make_programs = _host_programs if is_host_played else _compiled_programs
    return make_programs(parts, mesh, compiler, init)


def _check_minibatches(config: TrainConfig, phases: Sequence[Phase]) -> None:
    for phase in phases:
        parts = phase.learn.minibatches if isinstance(phase.learn, OnPolicy) else 1
        envs = config.env.num_envs
        check(envs % parts == 0, "env.num_envs", envs, f"must be a multiple of the {parts} minibatches of each epoch")


def stored_bytes(parts: Parts) -> Callable[[TrainConfig], int]:
    """Returns a function (settings) -> bytes of one seed's replay; only replay settings may differ from the run's."""
    rows, stores_rows = row_shapes(parts), parts.system.stores_rows
    return lambda config: allocated_bytes(build_replay(config, stores_rows), rows)


def _compiled_programs(parts: Parts, mesh: Mesh, compiler: Compiler, init: SeedProgram) -> Setup:
    config, env = parts.config, parts.env.env
    plans = plan_phases(config, parts.system.phases)
    chunks = {}
    for plan in (*plans, refill_plan(plans, 0)):
        chunk = make_chunk_under_own_settings(parts, plan.phase, plan.iterations_per_chunk)
        chunks[plan.phase.name] = SeedProgram(chunk, mesh, plan.phase.name, compiler, donate=True)
    play = partial(evaluate_seed, env, parts.system, config.evaluation.num_episodes)
    evaluate = SeedProgram(play, mesh, EVALUATION, compiler)
    return Setup(config, env, parts, plans, mesh, compiler, init, chunks, evaluate)


def _host_programs(parts: Parts, mesh: Mesh, compiler: Compiler, init: SeedProgram) -> Setup:
    config, env = parts.config, parts.env.env
    # One iteration per chunk: games on the host are slow enough to hide other host work.
    plans = plan_phases(config, parts.system.phases, chunk_time_steps=1)
    player = HostPlayer(parts.system, config.env.num_envs, partial(open_games, config.env))
    every = (*plans, refill_plan(plans, 0))
    chunks = {plan.phase.name: HostChunk(parts, plan.phase, player, mesh, compiler) for plan in every}
    evaluate = HostEvaluation(player, config.evaluation.num_episodes)
    return Setup(config, env, parts, plans, mesh, compiler, init, chunks, evaluate, player)


def configure_jax(config: TrainConfig, num_devices: int | None = None) -> None:
    """Sets what must be set before jax's backend starts, then starts the backend.

    Args:
        config: of the run, or of one of several runs.
        num_devices: number of CPU devices, the largest that any of the runs needs; None derives it from the run.

    Raises:
        InputError: jax has no such device, or its settings do not work here.
    """
    if config.run.deterministic:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    if config.run.seed_batching == "auto" and not _are_devices_given():
        # One seed per core is faster on a CPU than all cores for one seed. Other backends ignore this.
        wanted = num_devices or side_by_side(config, Path(config.run_dir), config.seeds)
        with contextlib.suppress(RuntimeError):  # jax runs already and keeps its devices
            jax.config.update("jax_num_cpu_devices", wanted)
    if config.run.compilation_cache:
        keep_compiled()
    start_backend()


def _are_devices_given() -> bool:
    """Whether the user has set the number of CPU devices."""
    return "host_platform_device_count" in os.environ.get("XLA_FLAGS", "") or "JAX_NUM_CPU_DEVICES" in os.environ


def devices_for(config: TrainConfig, home: Path, seeds: Sequence[int]) -> int:
    """Returns how many of jax's devices, from the first on, train the runs of a program.

    jax keeps the devices that it started with, possibly for another run of this process. The result leaves no device
    with filler seeds only, and splits the groups of a run that was already started evenly over the devices.

    Args:
        config: of one of the runs.
        home: directory for what the runs have in common.
        seeds: of all runs, one run after the other.
    """
    if jax.process_count() > 1:
        return jax.device_count()
    begun = stored_side_by_side(home, seeds)
    most = begun or len(seeds)
    if jax.default_backend() == "cpu" and (config.run.seed_batching == "auto" or not _are_devices_given()):
        most = side_by_side(config, home, seeds)
    most = min(most, jax.device_count())
    return next(count for count in range(most, 0, -1) if (begun or count) % count == 0)


def side_by_side(config: TrainConfig, home: Path, seeds: Sequence[int]) -> int:
    """Returns the number of CPU devices that the runs of a program need; see `devices_for`."""
    if config.run.seed_batching != "auto" or config.env.is_played_by_host:
        return 1
    return stored_side_by_side(home, seeds) or seeds_side_by_side(len(seeds))


def stored_side_by_side(home: Path, seeds: Sequence[int]) -> int | None:
    """Returns how many seeds the runs of a directory train at the same time; None if they were never started."""
    return len(read_groups(home, seeds)[0]) if is_there(home / GROUPS_FILE) else None


def seeds_side_by_side(num_seeds: int) -> int:
    """Returns how many seeds to train at the same time on the CPU's cores, for as few rounds as possible."""
    rounds = -(-num_seeds // available_cores())
    return -(-num_seeds // rounds)


def available_memory(config: TrainConfig, num_devices: int | None = None) -> tuple[int, str]:
    """Returns the bytes available to a run on one device, and their description for messages.

    Args:
        config: settings of the run.
        num_devices: devices of this host that train the run; None is all.
    """
    if config.run.max_memory_gib is not None:
        return int(config.run.max_memory_gib * 2**30), "allowed by run.max_memory_gib"
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]), f"on {device.device_kind}"
    return free_memory() // (num_devices or jax.local_device_count()), "of memory free on this machine"


def clock_at(iteration: int) -> Clock:
    """Makes the clock of an iteration from numpy, which every host can pass to a program."""
    return Clock(np.int32(iteration))
