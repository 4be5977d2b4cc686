"""`limae-jax evaluate`: repeats a run's greedy evaluation, in its own scenario or one with the same sizes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from limae_jax.catalogue.systems import label
from limae_jax.checks import user_path
from limae_jax.config import TrainConfig
from limae_jax.environments import make_env, open_games
from limae_jax.environments.base import Environment
from limae_jax.errors import InputError
from limae_jax.evaluation.policy import StoredTeams, load_teams
from limae_jax.evaluation.ridge import has_reference, ridge_r2
from limae_jax.keys import Stream, stream_key
from limae_jax.metrics.status import Status
from limae_jax.replay.memory import check_evaluation_memory
from limae_jax.rollouts.evaluator import evaluate_seed
from limae_jax.rollouts.host_player import HostPlayer, means_of
from limae_jax.rollouts.trajectories import record
from limae_jax.systems.base import Params, System
from limae_jax.systems.build import build_system
from limae_jax.training.compiler import Compiler, compile_for
from limae_jax.training.setup import available_memory, configure_jax
from limae_jax.types import EnvSpec

# The linear references are fitted and measured on 8 x 64 episodes; a few are not enough to fit them.
_RECORDED, _RECORDED_AT_ONCE = 8, 64

SIZES = ("num_agents", "obs_size", "state_size", "num_actions")


def evaluate_run(
    run_dir: Path, overrides: Sequence[str] = (), checkpoint: str = "last", status: Status | None = None
) -> list[dict[str, Any]]:
    """Evaluates every seed of a run.

    With the run's own settings, the "last" checkpoint replays the episodes of the last evaluation in training, unless
    the games run in worker processes, which start new episodes. The "best" checkpoint plays other episodes: its score
    on the episodes that selected it would be too high.

    Args:
        run_dir: directory of the run.
        overrides: overrides of `env.*` and `evaluation.*`.
        checkpoint: "last" or "best".
        status: status line to update.

    Returns:
        A row for each seed: seed, system, scenario, checkpoint, iteration, test_* and test_episodes.

    Raises:
        InputError: an override is not allowed, the scenario has different sizes, the environment is SMAC, or the
            episodes do not fit into memory.
    """
    from limae_jax.runs.evaluation import plan_evaluation

    run_dir = Path(user_path("RUN_DIR", run_dir))
    stored, config = plan_evaluation(run_dir, overrides)
    if config.env.name == "smac":
        raise InputError("env=smac: is not evaluated here; call evaluation.starcraft2.evaluate_in_smac")
    status = status or Status()
    status.update(f"loading {run_dir}")
    configure_jax(config)
    trained_in, env = make_env(stored.env).spec, make_env(config.env)
    check_sizes(trained_in, env.spec)
    check_evaluation_memory(config, env.spec, *available_memory(config))
    # The sizes equal those in training, but the layout of the observations is that of the evaluated game.
    system = build_system(stored, env.spec)
    teams = load_teams(run_dir, system, checkpoint)
    stream = Stream.EVAL if checkpoint == "last" else Stream.FRESH_EVAL
    wanted = np.flatnonzero(np.isin(teams.seeds, config.seeds))
    chosen = [_team(teams, index) for index in wanted]
    if config.env.is_played_by_host:
        evaluations = _by_host(config, system, chosen, stream)
    else:
        evaluations = _compiled(config, env, system, chosen, stream, checkpoint, status)
    rows = []
    with contextlib.closing(evaluations):
        for number, index in enumerate(wanted, start=1):
            status.update(f"playing {config.evaluation.num_episodes:,} episodes, seed {number} of {len(wanted)}")
            means = next(evaluations)
            rows.append(
                {
                    "seed": int(teams.seeds[index]),
                    "system": label(config.system.name),
                    "scenario": config.env.scenario,
                    "checkpoint": checkpoint,
                    "iteration": int(teams.iteration[index]),
                    "test_win_rate": None,
                    **{name: float(value) for name, value in means.items()},
                    "test_episodes": config.evaluation.num_episodes,
                }
            )
    return rows


Team = tuple[np.int32, Params, np.int32]


def _team(teams: StoredTeams, index: np.integer) -> Team:
    """Returns a seed, its parameters and their iteration."""
    params = jax.tree.map(lambda x: x[index], teams.params)
    return np.int32(teams.seeds[index]), params, np.int32(teams.iteration[index])


def _compiled(
    config: TrainConfig,
    env: Environment,
    system: System,
    chosen: Sequence[Team],
    stream: Stream,
    checkpoint: str,
    status: Status,
) -> Generator[Mapping[str, Any]]:
    """Yields the mean metrics of each team in a game written in JAX."""
    jitted = jax.jit(lambda *one: evaluate_seed(env, system, config.evaluation.num_episodes, one, stream))
    compiler = Compiler(config, num_devices=1)
    compiler.watcher = status
    name = f"greedy evaluation of the {checkpoint} checkpoint"
    play = compiler.compile(name, lambda: compile_for(jitted, *chosen[0]))
    measure = None
    if system.belief_errors and has_reference(env.spec.obs_size + env.spec.num_actions, config.auto_encoder.window):
        measure = _ridge_reference(config, env, system, compiler, chosen[0])
    for one in chosen:
        yield {**play(*one), **(measure(one) if measure else {})}


def _ridge_reference(
    config: TrainConfig, env: Environment, system: System, compiler: Compiler, example: Team
) -> Callable[[Team], dict[str, float]]:
    """Returns a function that measures how well linear models guess team-mates in a team's games."""
    jitted = jax.jit(lambda params, key: record(env, system, params, _RECORDED_AT_ONCE, key))
    play = compiler.compile("recording", lambda: compile_for(jitted, example[1], stream_key(example[0], Stream.EVAL)))

    def measure(team: Team) -> dict[str, float]:
        seed, params, iteration = team
        key = stream_key(seed, Stream.FRESH_EVAL, iteration)
        played = [jax.device_get(play(params, jax.random.fold_in(key, part))) for part in range(_RECORDED)]
        return {f"test_{name}": value for name, value in ridge_r2(played, config.auto_encoder.window).items()}

    return measure


def _by_host(
    config: TrainConfig, system: System, chosen: Sequence[Team], stream: Stream
) -> Generator[Mapping[str, Any]]:
    """Yields the mean metrics of each team in games that run in worker processes."""
    player = HostPlayer(system, config.env.num_envs, partial(open_games, config.env))
    with contextlib.closing(player):
        for seed, params, iteration in chosen:
            with_axis = jax.tree.map(lambda x: x[None], params)
            key = stream_key(seed, stream, iteration)
            yield means_of(player.evaluate(int(seed), with_axis, config.evaluation.num_episodes, key))


def check_sizes(trained_in: EnvSpec, other: EnvSpec) -> None:
    """Raises InputError if a team that was trained in one game does not fit the sizes of the other."""
    unequal = [name for name in SIZES if getattr(trained_in, name) != getattr(other, name)]
    if unequal:
        listed = ", ".join(f"{name} {getattr(other, name)}, not {getattr(trained_in, name)}" for name in unequal)
        fix = f"the team was trained on {trained_in.scenario}; choose a scenario with the same sizes"
        raise InputError(f"env.scenario={other.scenario}: has {listed}; {fix}")
