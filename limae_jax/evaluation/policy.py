"""Trained teams as plain functions: loading from runs and files, and export."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from limae_jax.catalogue.systems import NOT_DECENTRALISED
from limae_jax.checkpoints.params import has_params, iterations_of, load_params
from limae_jax.checks import check, check_out, one_line, user_path
from limae_jax.config import TrainConfig
from limae_jax.environments import make_env
from limae_jax.errors import InputError
from limae_jax.evaluation.policy_file import SUFFIX, read_policy_file, write_policy_file
from limae_jax.registry import check_name
from limae_jax.runs.directory import group_directory
from limae_jax.runs.records import BEST, GROUPS_FILE, LAST, is_there, read_groups
from limae_jax.runs.stored import read_run
from limae_jax.systems.base import ActorCarry, Params, System
from limae_jax.systems.build import build_system
from limae_jax.types import EnvSpec, Timestep


class Policy(NamedTuple):
    """The greedy policy of one seed's team.

    Attributes:
        act: (carry, obs [A, O], avail [A, U]) -> (action [A] int32, carry). Jitted.
        initial_carry: carry at the start of every episode.
        spec: spec of the environment that the team was trained in.
        is_decentralised: whether each agent acts on its own observations only.
    """

    act: Callable[[ActorCarry, jax.Array, jax.Array], tuple[jax.Array, ActorCarry]]
    initial_carry: ActorCarry
    spec: EnvSpec
    is_decentralised: bool

    def __repr__(self) -> str:
        spec, kind = self.spec, "decentralised" if self.is_decentralised else "not decentralised"
        sizes = f"observations of {spec.obs_size} numbers, {spec.num_actions} actions"
        return f"Policy: {spec.num_agents} agent(s) of {spec.name} {spec.scenario}, {sizes}, {kind}"


class StoredTeams(NamedTuple):
    """Parameters of all seeds of a run.

    Attributes:
        seeds: [S].
        params: leaves [S, ...].
        iteration: [S] training iteration of each seed's parameters.
    """

    seeds: np.ndarray
    params: Params
    iteration: np.ndarray


def load_teams(run_dir: Path, system: System, checkpoint: str = "last") -> StoredTeams:
    """Reads the parameters of every seed that has been trained so far.

    Args:
        run_dir: directory of the run.
        system: system built for the run's environment.
        checkpoint: "last", or "best": each seed's best evaluation.

    Raises:
        InputError: the parameters are missing or damaged.
    """
    check_name("checkpoint", checkpoint, (LAST, BEST))
    groups = read_groups(run_dir, read_run(run_dir).seeds) if is_there(run_dir / GROUPS_FILE) else []
    one = jax.eval_shape(system.init, jax.random.key(0)).params
    found = []
    for group in groups:
        directory = group_directory(run_dir, np.asarray(group)) / checkpoint
        if has_params(directory):
            template = jax.tree.map(partial(_stacked, len(group)), one)
            params, host = load_params(directory, template)
            found.append((np.asarray(group), params, np.asarray(iterations_of(directory, host, len(group)))))
    if not found:
        raise InputError(f"RUN_DIR={run_dir}: holds no trained parameters yet; train the run first")
    seeds, params, iteration = zip(*found, strict=True)
    stacked = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *params)
    return StoredTeams(np.concatenate(seeds), stacked, np.concatenate(iteration))


def _stacked(count: int, one: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((count, *one.shape), one.dtype)


class _Team(NamedTuple):
    """One seed's parameters, with their training iteration and the run's settings."""

    config: TrainConfig
    seed: int
    params: Params
    iteration: int


def _load_team(run_dir: Path, seed: int | None, checkpoint: str) -> _Team:
    config = read_run(run_dir)
    spec = make_env(config.env).spec
    system = build_system(config, spec)
    teams = load_teams(run_dir, system, checkpoint)
    seed = config.seeds[0] if seed is None else seed
    if seed not in config.seeds or seed not in teams.seeds:
        trained = [int(s) for s in teams.seeds if s in config.seeds]
        raise InputError(f"seed={seed}: not trained in {run_dir}; choose one of {trained}")
    index = int(np.flatnonzero(teams.seeds == seed)[0])
    return _Team(config, seed, jax.tree.map(lambda x: x[index], teams.params), int(teams.iteration[index]))


def load_policy(run_dir: str | Path, seed: int | None = None, checkpoint: str = "last") -> Policy:
    """Loads one seed's team from a run directory, or from a file that `export_policy` wrote.

    Args:
        run_dir: directory of the run; or the file, which holds one seed and one checkpoint.
        seed: seed to load; None: the run's first.
        checkpoint: "last" or "best".

    Raises:
        InputError: there is no such run or seed, or the file is damaged or not a policy.
    """
    place = Path(user_path("RUN_DIR", run_dir))
    if place.suffix == SUFFIX and not place.is_dir():
        return _policy_of_file(place, seed)
    team = _load_team(place, seed, checkpoint)
    return _make_policy(team.config, team.params)


def _policy_of_file(path: Path, seed: int | None) -> Policy:
    stored = read_policy_file(path)
    own = stored.metadata.get("seed")
    check(seed is None or str(seed) == own, "seed", seed, f"{path} holds seed {own} only")
    system = build_system(stored.config, make_env(stored.config.env).spec)
    template = jax.eval_shape(system.init, jax.random.key(0)).params
    try:
        params = stored.params_like(template)
    except (KeyError, ValueError) as error:
        reason = one_line(error)
        raise InputError(f"{path}: parameters do not match the settings ({reason}); export it again") from None
    return _make_policy(stored.config, params)


def export_policy(run_dir: str | Path, out: str | Path, seed: int | None = None, checkpoint: str = "last") -> Path:
    """Writes one seed's team to a safetensors file: parameters by dotted name, and a description as metadata.

    Args:
        run_dir: directory of the run.
        out: path of the file, ending in .safetensors.
        seed: seed to export; None: the run's first.
        checkpoint: "last" or "best".

    Returns:
        The file's path.

    Raises:
        InputError: there is no such run or seed, or the file cannot be written.
    """
    path = check_out(out, SUFFIX)
    team = _load_team(Path(user_path("RUN_DIR", run_dir)), seed, checkpoint)
    about: dict[str, str | int | bool] = {
        "seed": team.seed,
        "checkpoint": checkpoint,
        "iteration": team.iteration,
        "is_decentralised": team.config.system.name not in NOT_DECENTRALISED,
    }
    write_policy_file(path, team.config, make_env(team.config.env).spec, team.params, about)
    return path


def _make_policy(config: TrainConfig, params: Params) -> Policy:
    spec = make_env(config.env).spec
    system = build_system(config, spec)

    @jax.jit
    def act(carry: ActorCarry, obs: jax.Array, avail: jax.Array) -> tuple[jax.Array, ActorCarry]:
        timestep = _observed(spec, obs, avail)
        acted = system.act(params, carry, timestep, 0.0, jax.random.key(0))
        return acted.action[0], acted.carry

    return Policy(act, system.initial_carry(1), spec, config.system.name not in NOT_DECENTRALISED)


def _observed(spec: EnvSpec, obs: jax.Array, avail: jax.Array) -> Timestep:
    """Returns a timestep [1, ...] with the agents' inputs; acting does not read the other fields."""
    no, nothing = jnp.zeros(1, bool), jnp.zeros(1)
    state = jnp.zeros((1, spec.state_size))
    alive = jnp.ones((1, spec.num_agents), bool)
    return Timestep(jnp.asarray(obs)[None], state, jnp.asarray(avail, bool)[None], alive, nothing, no, no, no)
