"""`limae-jax evaluate RUN_DIR... env=smac`: trained teams in real StarCraft II, natively or translated from SMAX."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from limae_jax.catalogue.systems import label
from limae_jax.checks import user_path
from limae_jax.config import SmacConfig, SmaxConfig, TrainConfig
from limae_jax.config.compose import profile_of
from limae_jax.environments import make_env, open_games
from limae_jax.environments.smac.pool import BattlePool
from limae_jax.environments.smac.records import BattleRecord
from limae_jax.environments.smac.translate import Translator
from limae_jax.environments.smac.translated import TranslatedGames
from limae_jax.environments.workers.games import Games, GamesBetween
from limae_jax.environments.workers.records import Steps
from limae_jax.errors import InputError
from limae_jax.evaluation.policy import StoredTeams, load_teams
from limae_jax.keys import Stream, stream_key
from limae_jax.rollouts.host_player import HostPlayer, means_of
from limae_jax.runs.evaluation import plan_evaluation
from limae_jax.systems.base import System
from limae_jax.systems.build import build_system
from limae_jax.training.setup import configure_jax

# Confidence level of all intervals.
CONFIDENCE = 0.95

Report = dict[str, Any]


class _Run(NamedTuple):
    """A run to evaluate: its training settings, the evaluation settings, and its trained teams."""

    run_dir: Path
    trained: TrainConfig
    config: TrainConfig
    system: System
    teams: StoredTeams

    @property
    def env(self) -> SmacConfig:
        """Settings of the games, with at most as many workers as episodes."""
        env = self.config.env
        if not isinstance(env, SmacConfig):
            raise InputError(f"env={env.name}: choose env=smac to play StarCraft II")
        return replace(env, workers=min(env.workers, self.config.evaluation.num_episodes))


class SharedGames(GamesBetween):
    """Games that successive teams share: a team finishes the previous team's episodes, which do not count.

    A game takes long to launch, and a reset in the middle of an episode would require a new launch.
    """

    def __init__(self, games: Games):
        super().__init__(games)
        self._steps = games.reset()

    def reset(self) -> Steps:
        """Returns the last steps of the previous team; nothing is reset."""
        return self._steps

    def step(self, action: np.ndarray) -> Steps:
        """See `workers.pool.WorkerPool.step`."""
        self._steps = super().step(action)
        return self._steps

    def close(self) -> None:
        """Does nothing: the next team continues the games."""


def evaluate_in_smac(
    run_dirs: Sequence[Path],
    overrides: Sequence[str] = (),
    checkpoint: str = "last",
    replays: bool = False,
    on_status: Callable[[str], None] = lambda text: None,
) -> Iterator[Report]:
    """Evaluates every seed of every run, one after the other.

    The report is written to RUN_DIR/smac/<map>_<time>.json, and rewritten after every seed. Consecutive runs on the
    same map share their games.

    Args:
        run_dirs: runs on SMAX, which play translated, or on SMAC, which play natively.
        overrides: `env=smac` with `env.*`, and `evaluation.*`; without `env.scenario` each run plays its own map.
        checkpoint: "last" or "best".
        replays: whether to save a replay of everything played to RUN_DIR/smac/replays.
        on_status: called with status texts.

    Returns:
        An iterator of reports, one for each finished run: what was played and how, "seeds" with a row for each, and
        "over_seeds", see `over_seeds`. All runs are checked before this returns.

    Raises:
        InputError: a run does not fit or is not trained.
        GameError: during iteration: a game kept failing, or could not save its replay.
    """
    runs = []
    for run_dir in (Path(user_path("RUN_DIR", run_dir)) for run_dir in run_dirs):
        trained, config = plan_evaluation(run_dir, overrides)
        configure_jax(config)
        system = build_system(trained, make_env(trained.env).spec)
        runs.append(_Run(run_dir, trained, config, system, load_teams(run_dir, system, checkpoint)))
    groups = [(env, list(group)) for env, group in itertools.groupby(runs, key=lambda run: run.env)]
    return _reports(groups, checkpoint, replays, on_status)


def _reports(
    groups: Sequence[tuple[SmacConfig, Sequence[_Run]]],
    checkpoint: str,
    replays: bool,
    on_status: Callable[[str], None],
) -> Iterator[Report]:
    for env, runs in groups:
        on_status(f"launching {env.workers} games of {env.scenario}")
        needs_units = any(isinstance(run.trained.env, SmaxConfig) for run in runs)
        with contextlib.closing(cast(BattlePool, open_games(env, shows_units=needs_units))) as pool:
            games = SharedGames(pool)
            for run in runs:
                about = {"checkpoint": checkpoint, "game_version": pool.info.game_version}
                yield _evaluate_run(run, games, about, on_status)
                if replays:
                    pool.save_replays(run.run_dir / "smac" / "replays")


def _evaluate_run(run: _Run, games: Games, about: Mapping[str, Any], on_status: Callable[[str], None]) -> Report:
    report = {**_about(run.run_dir, run.trained, run.env), **about, "seeds": []}
    path = run.run_dir / "smac" / f"{run.env.scenario}_{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.parent.mkdir(exist_ok=True)
    played = _in_terms_of(run.trained, run.env, games)
    player = HostPlayer(run.system, run.env.workers, lambda seed: played)
    for index in np.flatnonzero(np.isin(run.teams.seeds, run.trained.seeds)):
        on_status(f"{run.run_dir}, seed {run.teams.seeds[index]}: {run.config.evaluation.num_episodes} episodes")
        report["seeds"].append(_evaluate_seed(player, run.teams, int(index), run.config.evaluation.num_episodes))
        report["over_seeds"] = over_seeds(report["seeds"])
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report | {"file": str(path)}


def _in_terms_of(trained: TrainConfig, env: SmacConfig, games: Games) -> Games:
    """Returns the games, translated if the team was trained on SMAX."""
    if isinstance(trained.env, SmaxConfig):
        return TranslatedGames(games, Translator(trained.env, env))
    return games


def _about(run_dir: Path, trained: TrainConfig, env: SmacConfig) -> Report:
    """Returns the report's fields about the run and its game."""
    about = {
        "run": str(run_dir),
        "system": label(trained.system.name),
        "mode": "native",
        "map": env.scenario,
        "difficulty": env.difficulty,
        "step_mul": env.step_mul,
        "workers": env.workers,
        "trained_on": trained.env.scenario,
    }
    if isinstance(trained.env, SmaxConfig):
        sees_more = not env.is_strict and (
            trained.env.observes_positions_and_cooldowns or trained.env.see_enemy_actions
        )
        about |= {
            "mode": "translated",
            "sight": env.sight,
            "attack_mask": env.attack_mask,
            # Whether the team may see more than SMAC's own observations show.
            "is_privileged": sees_more or env.sight == "smax",
            "profile": profile_of(trained.env),
        }
    return about


def _evaluate_seed(player: HostPlayer, teams: StoredTeams, index: int, num_episodes: int) -> Report:
    """Evaluates one seed, and returns its row."""
    seed = int(teams.seeds[index])
    params = jax.tree.map(lambda x: x[index : index + 1], teams.params)
    games = player.take_up(seed)
    crashes, discarded = games.crashes, games.discarded
    key = stream_key(np.int32(seed), Stream.EVAL, teams.iteration[index])
    records = cast(Sequence[BattleRecord], player.evaluate(seed, params, num_episodes, key))
    low, high = wilson_interval(sum(record.won for record in records), len(records))
    return {
        "seed": seed,
        "iteration": int(teams.iteration[index]),
        "test_episodes": len(records),
        **means_of(records),
        "test_win_rate_low": low,
        "test_win_rate_high": high,
        "test_seconds_mean": float(np.mean([record.seconds for record in records])),
        "test_timeouts": sum(record.truncated for record in records),
        "crashes": games.crashes - crashes,
        "discarded_episodes": games.discarded - discarded,
    }


def wilson_interval(wins: int, episodes: int) -> tuple[float, float]:
    """Returns the confidence interval of a win rate at level CONFIDENCE (Wilson 1927)."""
    from scipy import stats

    interval = stats.binomtest(wins, episodes).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def over_seeds(rows: Sequence[Mapping[str, Any]]) -> Report:
    """Aggregates the rows of a run's seeds.

    Args:
        rows: rows of the seeds.

    Returns:
        Means of all means, sums of all counts, and Student's t interval over the seeds of the mean win rate, within
        [0, 1]; None for a single seed.
    """
    from scipy import stats

    together: Report = {"seeds": len(rows)}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name.endswith(("_mean", "_rate")):
            together[name] = float(np.mean(values))
        elif name in ("test_episodes", "test_timeouts", "crashes", "discarded_episodes"):
            together[name] = sum(values)
    together["test_win_rate_low"] = together["test_win_rate_high"] = None
    if len(rows) > 1:
        rates = np.array([row["test_win_rate"] for row in rows])
        half = stats.t.ppf((1 + CONFIDENCE) / 2, len(rates) - 1) * stats.sem(rates)
        low, high = np.clip(np.mean(rates) + np.array([-half, half]), 0, 1)
        together |= {"test_win_rate_low": float(low), "test_win_rate_high": float(high)}
    return together
