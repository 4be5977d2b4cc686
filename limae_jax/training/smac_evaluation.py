"""`limae-jax evaluate RUN_DIR... env=smac`: trained teams in real StarCraft II, natively or translated from SMAX."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from limae_jax.compose import override_config
from limae_jax.config import SmacConfig, SmaxConfig, TrainConfig
from limae_jax.config_file import check_evaluation, read_run
from limae_jax.environments import make_env, open_games
from limae_jax.environments.smac.records import EpisodeRecord, GameInfo, Steps
from limae_jax.environments.smac.translate import Translator
from limae_jax.environments.smac.translated import TranslatedGames
from limae_jax.errors import InputError
from limae_jax.keys import Stream, stream_key
from limae_jax.systems.build import build_system
from limae_jax.systems.names import label
from limae_jax.training.host_player import Games, HostPlayer, means_of
from limae_jax.training.policy import StoredTeams, load_teams
from limae_jax.training.setup import configure_jax

CONFIDENCE = 0.95


class _Continued:
    """Games that go from team to team: what one leaves unfinished the next one finishes, uncounted."""

    def __init__(self, games: Games):
        self._games, self._steps = games, games.reset()

    @property
    def crashes(self) -> int:
        return self._games.crashes

    @property
    def discarded(self) -> int:
        return self._games.discarded

    def reset(self) -> Steps:
        return self._steps

    def step(self, action: np.ndarray) -> Steps:
        self._steps = self._games.step(action)
        return self._steps

    def take_records(self) -> list[EpisodeRecord]:
        return self._games.take_records()

    def close(self) -> None:
        """The next team goes on with them."""


def plan_evaluations(run_dirs: Sequence[Path], overrides: Sequence[str]) -> list[tuple[Path, TrainConfig, TrainConfig]]:
    """Checks every run before any game is started.

    Returns:
        (run directory, settings of the run, settings of its evaluation) of each; without `env.scenario` the run's own
        map is played.

    Raises:
        InputError: a run cannot be evaluated so.
    """
    plans = []
    for run_dir in run_dirs:
        stored = read_run(run_dir)
        config = override_config(stored, overrides)
        if not any(text.startswith("env.scenario=") for text in overrides):
            config = replace(config, env=replace(config.env, scenario=stored.env.scenario))
        check_evaluation(stored, config)
        plans.append((run_dir, stored, config))
    return plans


def evaluate_in_smac(
    run_dirs: Sequence[Path], overrides: Sequence[str] = (), checkpoint: str = "latest"
) -> list[dict[str, Any]]:
    """Evaluates every seed of every run; writes RUN_DIR/smac/<map>.json as soon as a run is through.

    Args:
        run_dirs: runs on SMAX, which play translated, or on SMAC, which play natively.
        overrides: `env=smac` with `env.*`, and `evaluation.*`.
        checkpoint: "latest" or "best".

    Returns:
        A row for each run and seed.

    Raises:
        InputError: a run does not fit, or StarCraft II is not ready.
        GameError: the game kept crashing.
    """
    rows = []
    for run_dir, stored, config in plan_evaluations(run_dirs, overrides):
        configure_jax(config)
        played = _evaluate_run(run_dir, stored, config, checkpoint)
        folder = run_dir / "smac"
        folder.mkdir(exist_ok=True)
        report = {"rows": played, "over_seeds": over_seeds(played)}
        (folder / f"{config.env.scenario}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        rows += played
    return rows


def _evaluate_run(run_dir: Path, stored: TrainConfig, config: TrainConfig, checkpoint: str) -> list[dict[str, Any]]:
    spec = make_env(stored.env).spec
    system = build_system(stored, spec)
    teams = load_teams(run_dir, system, checkpoint)
    if not isinstance(config.env, SmacConfig):
        raise InputError(f"env={config.env.name}: choose env=smac to play StarCraft II")
    pool = open_games(config.env)
    try:
        games = _Continued(_in_terms_of(stored, config.env, pool))
        about = _about(run_dir, stored, config, pool.info, checkpoint)
        rows = []
        for index in np.flatnonzero(np.isin(teams.seeds, stored.seeds)):
            player = HostPlayer(system, config.env.workers, lambda seed, games=games: games)
            rows.append(about | _play(player, teams, int(index), config.evaluation.num_episodes))
            rows[-1]["game_version"] = pool.info.game_version
        if config.env.replays:
            pool.save_replays(run_dir / "smac" / "replays")
        return rows
    finally:
        pool.close()


def _in_terms_of(stored: TrainConfig, env: SmacConfig, pool: Any) -> Games:
    """The games as the team knows them."""
    if isinstance(stored.env, SmacConfig):
        return pool
    if not isinstance(stored.env, SmaxConfig):
        raise InputError(f"env.name={stored.env.name}: only teams trained on smax or smac can play SMAC")
    translator = Translator(stored.env, pool.info, env.sight, env.attack_mask, env.is_strict)
    return TranslatedGames(pool, translator)


def _about(run_dir: Path, stored: TrainConfig, config: TrainConfig, info: GameInfo, checkpoint: str) -> dict[str, Any]:
    env: Any = config.env
    about = {
        "run": str(run_dir),
        "system": label(stored.system.name),
        "map": env.scenario,
        "difficulty": env.difficulty,
        "step_mul": env.step_mul,
        "checkpoint": checkpoint,
        "mode": "native" if isinstance(stored.env, SmacConfig) else "translated",
    }
    if isinstance(stored.env, SmaxConfig):
        hidden = "strict" if env.is_strict else "privileged features"
        options = {"sight": env.sight, "attack_mask": env.attack_mask, "features": hidden}
        about |= options | {"trained_on": stored.env.scenario, "time_per_step": stored.env.time_per_step}
    return about


def _play(player: HostPlayer, teams: StoredTeams, index: int, num_episodes: int) -> dict[str, Any]:
    """One seed's row."""
    from scipy import stats

    seed = int(teams.seeds[index])
    params = jax.tree.map(lambda x: x[index : index + 1], teams.params)
    before = _faults(player, seed)
    key = stream_key(np.int32(seed), Stream.EVAL, teams.iteration[index])
    records = player.evaluate(seed, params, num_episodes, key)
    crashes, discarded = (now - then for now, then in zip(_faults(player, seed), before, strict=True))
    wins = sum(record.won for record in records)
    interval = stats.binomtest(wins, len(records)).proportion_ci(CONFIDENCE, method="wilson")
    return {
        "seed": seed,
        "iteration": int(teams.iteration[index]),
        "test_episodes": len(records),
        **means_of(records),
        "test_win_rate_low": float(interval.low),
        "test_win_rate_high": float(interval.high),
        "test_seconds_mean": float(np.mean([record.seconds for record in records])),
        "test_timeouts": sum(record.truncated for record in records),
        "crashes": crashes,
        "discarded_episodes": discarded,
    }


def _faults(player: HostPlayer, seed: int) -> tuple[int, int]:
    games = player.take_up(seed)
    return games.crashes, games.discarded


def over_seeds(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean win rate over the seeds with its bootstrap interval (percentiles; None for a single seed)."""
    from scipy import stats

    rates = np.asarray([row["test_win_rate"] for row in rows])
    low = high = None
    if len(rates) > 1:
        generator = np.random.default_rng(0)
        resampled = stats.bootstrap((rates,), np.mean, confidence_level=CONFIDENCE, method="percentile", rng=generator)
        low, high = (float(x) for x in resampled.confidence_interval)
    return {"seeds": len(rates), "test_win_rate_mean": float(rates.mean()), "low": low, "high": high}
