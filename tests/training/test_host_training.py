"""Runs whose games the host plays, from the command line to the last row; the games here are scripted."""

import os
import signal

import numpy as np
import pytest
from doubles.scripted_games import ScriptedGames
from doubles.tiny import TINY
from replay_checks import check_replay

from limae_jax.cli.main import main
from limae_jax.environments.smac import installation
from limae_jax.environments.smac.env import smac_spec
from limae_jax.errors import GameError
from limae_jax.metrics.jsonl import read_rows
from limae_jax.rollouts.host_player import HostPlayer
from limae_jax.training import setup
from limae_jax.training.group import GroupTrainer

pytestmark = pytest.mark.slow

# No made-up game: the sizes are those of a map.
PLAYS_SMAX = True
OF_SMAX = ("env.", "evaluation.", "run.")
SMALL = [override for override in TINY if not override.startswith(OF_SMAX)]
TRAIN = ["train", "env=smac", "env.scenario=2m_vs_1z", "env.workers=2", *SMALL, "replay.min_rows=4"]
TRAIN += ["evaluation.num_episodes=3", "evaluation.every_time_steps=50", "run.total_env_steps=100"]
SCRIPTS = [[("win", 3), ("limit", 6)], [("loss", 4)]]


class Ending(ScriptedGames):
    """Games that do something at a step: what `at_step` says."""

    step_count, at_step = 0, (0, lambda: None)

    def step(self, action):
        Ending.step_count += 1
        when, what = Ending.at_step
        if Ending.step_count == when:
            what()
        return super().step(action)


@pytest.fixture
def opened(monkeypatch):
    """The games of each seed, in the order in which they were opened. Nothing has to be installed."""
    games = []

    def open_games(config, seed):
        games.append((seed, Ending(smac_spec(config.scenario), SCRIPTS)))
        return games[-1][1]

    monkeypatch.setattr(setup, "open_games", open_games)
    monkeypatch.setattr(installation, "check_installation", lambda name: None)
    monkeypatch.setattr(Ending, "step_count", 0)
    monkeypatch.setattr(Ending, "at_step", (0, None))
    return games


def give_up():
    raise GameError("2m_vs_1z: the game of worker 0 failed 5 times in a row")


@pytest.fixture
def collected(monkeypatch):
    """The seed of each block of rows that was collected to its end."""
    seeds, collect = [], HostPlayer.collect

    def counted(self, seed, *args):
        result = collect(self, seed, *args)
        seeds.append(seed)
        return result

    monkeypatch.setattr(HostPlayer, "collect", counted)
    return seeds


def test_a_run_that_is_stopped_and_then_loses_its_games_goes_on(opened, collected, tmp_path, monkeypatch, capsys):
    run_dir = tmp_path / "run"
    command = [*TRAIN, f"run.dir={run_dir}", "run.num_seeds=2", "run.first_seed=3"]
    # In the third iteration of eight steps, and in the second of the next session.
    monkeypatch.setattr(Ending, "at_step", (20, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert main(command) == 128 + signal.SIGTERM
    assert len(collected) == 3 and [games.is_closed for _, games in opened] == [True]

    monkeypatch.setattr(Ending, "at_step", (Ending.step_count + 12, give_up))
    capsys.readouterr()
    assert main(command) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "limae-jax: error: 2m_vs_1z: the game of worker 0 failed 5 times in a row"
    )
    assert len(collected) == 4 and [games.is_closed for _, games in opened] == [True, True]

    assert main(["resume", str(run_dir)]) == 0
    assert [seed for seed, _ in opened] == [3, 3, 3, 4] and all(games.is_closed for _, games in opened)
    rows = read_rows(run_dir / "metrics.jsonl")
    for seed in (3, 4):
        last = [row for row in rows if row["seed"] == seed][-1]
        # Nothing was collected twice, and nothing is lost.
        assert last["env_steps"] >= 100 and last["iteration"] == collected.count(seed)
    for row in rows:
        # Two games share three episodes: a win, a limit, and a loss.
        assert row["test_episodes"] == 3 and row["test_win_rate"] == pytest.approx(1 / 3)
        assert np.isfinite(row["loss"]) and row["test_length_mean"] == pytest.approx((3 + 6 + 4) / 3)


def test_an_extended_run_plays_for_a_new_replay_first(opened, tmp_path, monkeypatch, capsys):
    run_dir, phases, run_chunk = tmp_path / "run", [], GroupTrainer._run_chunk

    def checked(self, plan):
        if plan.phase.learn is not None:
            check_replay(self.state, least=4)
        phases.append(plan.phase.name)
        run_chunk(self, plan)

    monkeypatch.setattr(GroupTrainer, "_run_chunk", checked)
    assert main([*TRAIN, f"run.dir={run_dir}"]) == 0
    assert not list(run_dir.rglob("rows_*"))
    phases.clear()
    assert main(["resume", str(run_dir), "run.total_env_steps=200"]) == 0
    assert "first plays 32 time steps (4 rows) without learning" in " ".join(capsys.readouterr().out.split())
    assert phases[:3] == ["refill", "refill", "train"] and set(phases[2:]) == {"train"}
    assert all(games.is_closed for _, games in opened)
