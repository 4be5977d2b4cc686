"""Evaluation in SMAC: who plays how much, what is reported of it, and what is refused."""

import json
import math
from pathlib import Path

import jax
import numpy as np
import pytest
from doubles.battle_games import BattleGames
from doubles.fakes import noise_like

from limae_jax import environments
from limae_jax.cli.main import main
from limae_jax.config import SmacConfig
from limae_jax.config.compose import load_config
from limae_jax.config.text import to_yaml
from limae_jax.errors import GameError, InputError
from limae_jax.evaluation import starcraft2 as smac_evaluation
from limae_jax.evaluation.evaluate import evaluate_run
from limae_jax.evaluation.policy import StoredTeams
from limae_jax.evaluation.starcraft2 import evaluate_in_smac, over_seeds, wilson_interval

pytestmark = pytest.mark.slow

SMALL = ("system=vdn", "system.hidden_size=4", "run.num_seeds=2")
IN_SMAC = ("env=smac", "env.workers=2", "evaluation.num_episodes=3")
STEP_S = 8 / 22.4


@pytest.fixture
def opened(monkeypatch):
    """Scripted games in place of processes, and untrained teams; holds the games that were opened."""
    games = []

    def open_games(env, shows_units):
        games.append(BattleGames(env.scenario, env.workers, faults=((1, 1),)))
        games[-1].shows_units = shows_units
        return games[-1]

    def load_teams(run_dir, system, checkpoint):
        params = jax.eval_shape(jax.vmap(system.init), jax.random.split(jax.random.key(0), 2)).params
        return StoredTeams(np.arange(2), noise_like(params, seed=0), np.array([7, 8], np.int32))

    monkeypatch.setattr(smac_evaluation, "open_games", open_games)
    monkeypatch.setattr(environments, "check_env", lambda env: None)
    monkeypatch.setattr(smac_evaluation, "load_teams", load_teams)
    return games


@pytest.fixture
def run_dir(tmp_path):
    """Makes a run directory with settings and nothing else."""

    def make(name, *overrides):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.yaml").write_text(to_yaml(load_config([*SMALL, *overrides, f"run.dir={folder}"])))
        return folder

    return make


def test_a_report_counts_whole_episodes_of_each_seed(opened, run_dir):
    (report,) = evaluate_in_smac([run_dir("smax")], IN_SMAC)
    first, second = report["seeds"]
    # Game 0 plays 3 steps (won) and 5 (lost). Game 1 fails in its second step; what counts is the episode that it
    # begins then, of 2 steps, which the time limit ends.
    assert (first["seed"], first["iteration"], first["test_episodes"]) == (0, 7, 3)
    assert first["test_win_rate"] == pytest.approx(1 / 3)
    assert first["test_length_mean"] == pytest.approx((3 + 5 + 2) / 3)
    assert first["test_seconds_mean"] == pytest.approx((3 + 5 + 2) / 3 * STEP_S)
    assert first["test_return_mean"] == pytest.approx((6 + 15 + 3) / 3)
    assert first["test_enemy_deaths_mean"] == pytest.approx(1 / 3)
    assert first["test_ally_deaths_mean"] == pytest.approx(2 / 3)
    assert (first["test_timeouts"], first["crashes"], first["discarded_episodes"]) == (1, 1, 1)
    assert (second["seed"], second["iteration"], second["test_episodes"]) == (1, 8, 3)
    assert (second["crashes"], second["discarded_episodes"]) == (0, 0)
    assert len(opened) == 1 and opened[0].is_closed and opened[0].replays == []


def test_a_report_says_what_was_played_and_how(opened, run_dir):
    folder = run_dir("smax", "env=smax_smac_like")
    options = ("env.attack_mask=weapon", "env.sight=smax", "env.difficulty=3", "env.step_mul=11")
    (report,) = evaluate_in_smac([folder], [*IN_SMAC, *options], checkpoint="best", replays=True)
    assert json.loads(Path(report.pop("file")).read_text()) == report
    del report["seeds"], report["over_seeds"]
    assert report == {
        "run": str(folder),
        "system": "vdn",
        "mode": "translated",
        "map": "3m",
        "difficulty": "3",
        "step_mul": 11,
        "workers": 2,
        "trained_on": "3m",
        "sight": "smax",
        "attack_mask": "weapon",
        "is_privileged": True,
        "profile": "smax_smac_like",
        "checkpoint": "best",
        "game_version": "4.10",
    }
    assert opened[0].replays == [folder / "smac" / "replays"]


def test_runs_on_one_map_share_games_and_each_counts_its_own(opened, run_dir):
    folders = [run_dir("a"), run_dir("native", "env=smac"), run_dir("b", "env.scenario=2m_vs_1z")]
    reports = evaluate_in_smac(folders, ["env=smac", "env.workers=2", "evaluation.num_episodes=1"])
    assert opened == [], "all runs are checked before any game is launched"
    reports = list(reports)
    assert [report["map"] for report in reports] == ["3m", "3m", "2m_vs_1z"]
    assert [report["mode"] for report in reports] == ["translated", "native", "translated"]
    # No more games than episodes; one pool for the first two.
    assert [(games.info.name, len(games.actions[0]), games.is_closed) for games in opened] == [
        ("3m", 1, True),
        ("2m_vs_1z", 1, True),
    ]
    # The only game plays its script: every seed takes the next whole episode.
    lengths = [row["test_length_mean"] for report in reports[:2] for row in report["seeds"]]
    assert lengths == [3, 5, 2, 3]
    assert [row["test_timeouts"] for row in reports[1]["seeds"]] == [1, 0]
    assert "sight" not in reports[1] and reports[1]["seeds"][0]["test_win_rate"] == 0


def test_what_smac_does_not_show_is_privileged():
    for overrides, game, expected in (
        ((), SmacConfig(), True),
        ((), SmacConfig(is_strict=True), False),
        ((), SmacConfig(is_strict=True, sight="smax"), True),
        (("env.observes_positions_and_cooldowns=false",), SmacConfig(), True),
        (("env.observes_positions_and_cooldowns=false", "env.see_enemy_actions=false"), SmacConfig(), False),
    ):
        about = smac_evaluation._about(Path("run"), load_config([*SMALL, *overrides]), game)
        assert about["is_privileged"] is expected


def test_what_was_played_is_kept_when_the_games_fail_for_good(opened, run_dir, monkeypatch):
    folder = run_dir("smax")
    step = BattleGames.step

    def fails_later(games, action):
        if len(games.actions) > 10:
            raise GameError("3m: the game of worker 0 failed 5 times in a row")
        return step(games, action)

    monkeypatch.setattr(BattleGames, "step", fails_later)
    with pytest.raises(GameError):
        list(evaluate_in_smac([folder], IN_SMAC))
    (written,) = (folder / "smac").glob("3m_*.json")
    assert [row["seed"] for row in json.loads(written.read_text())["seeds"]] == [0]
    assert opened[0].is_closed


def test_the_command_line_prints_a_table_for_each_run(opened, run_dir, capsys):
    folders = [run_dir("a"), run_dir("b", "env=smac")]
    assert main(["evaluate", *map(str, folders), *IN_SMAC, "--replays"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if line.startswith("vdn on 3m in StarCraft II 4.10, difficulty 7")]
    assert len(heads) == 2
    assert "translated: sight smac, attack mask smac; privileged: sees more than SMAC shows" in lines
    cells = [line.split() for line in lines if line.startswith(("0 ", "all 2"))]
    assert cells[0] == "0 0.333 0.061-0.792 3 8.00 3.3 1.2 1 0.67 0.33 1 1".split()
    assert [row[0] for row in cells] == ["0", "all"] * 2
    assert max(map(len, (line for line in lines if not line.startswith(str(folders[0].parent))))) <= 100


def test_mistakes_are_answered_before_any_game_is_launched(opened, run_dir, capsys):
    smax, mpe = run_dir("smax"), run_dir("mpe", "env=mpe")
    for command, said in (
        ([smax, "env=smac", "env.scenario=MMM2"], "env.scenario=MMM2: has units that SMAX lacks (medivac)"),
        ([smax, mpe, "env=smac"], "env=smac: can be played only by teams trained on smax or smac"),
        ([smax, "nowhere", "env=smac"], "RUN_DIR=nowhere: no such directory"),
        ([smax, "--replays"], "--replays: only games of StarCraft II have them"),
        (["env=smac"], "the following arguments are required: RUN_DIR"),
        ([smax, "env=smac", "env.sight=all"], "env.sight=all: choose one of smac, smax"),
    ):
        assert main(["evaluate", *map(str, command)]) == 2
        assert said in capsys.readouterr().err
    assert opened == []
    with pytest.raises(InputError, match=r"env=smac: is not evaluated here"):
        evaluate_run(smax, ["env=smac"])


@pytest.mark.parametrize(("wins", "episodes"), [(24, 32), (0, 32), (32, 32), (1, 3)])
def test_a_seed_s_interval_is_wilson_s(wins, episodes):
    rate, z = wins / episodes, 1.959963984540054
    middle = (rate + z**2 / (2 * episodes)) / (1 + z**2 / episodes)
    half = z / (1 + z**2 / episodes) * math.sqrt(rate * (1 - rate) / episodes + z**2 / (4 * episodes**2))
    assert wilson_interval(wins, episodes) == pytest.approx((max(0, middle - half), min(1, middle + half)), abs=1e-9)


def _row(rate, episodes=32):
    return {"seed": 0, "iteration": 5, "test_win_rate": rate, "test_return_mean": 20 * rate, "crashes": 1} | {
        "test_episodes": episodes,
        "test_win_rate_low": 0.0,
    }


def test_seeds_together_have_a_t_interval():
    # Of 0.5, 0.6 and 0.7: standard error 0.0577, t 4.303.
    together = over_seeds([_row(0.5), _row(0.6), _row(0.7)])
    assert together == {
        "seeds": 3,
        "test_win_rate": pytest.approx(0.6),
        "test_return_mean": pytest.approx(12.0),
        "test_episodes": 96,
        "crashes": 3,
        "test_win_rate_low": pytest.approx(0.6 - 0.24841, abs=1e-5),
        "test_win_rate_high": pytest.approx(0.6 + 0.24841, abs=1e-5),
    }
    # No win rate is outside [0, 1].
    pair = over_seeds([_row(0.5), _row(0.9)])
    assert (pair["test_win_rate_low"], pair["test_win_rate_high"]) == (0, 1)
    assert over_seeds([_row(0.5)])["test_win_rate_low"] is None
