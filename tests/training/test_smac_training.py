"""Training and evaluating in StarCraft II itself, or a stand-in for it, from the command line."""

import json
import signal

import numpy as np
import pytest
from doubles.tiny import TINY

from limae_jax.cli.main import main
from limae_jax.metrics.jsonl import read_rows
from limae_jax.training.report import RunReport

pytestmark = pytest.mark.smac

# Rather than a made-up game: StarCraft II itself.
PLAYS_SMAX = True

SMALL = [override for override in TINY if not override.startswith(("env.", "evaluation.", "run."))]


def test_training_is_stopped_and_continued(tmp_path, monkeypatch):
    """No order may be refused by the game."""
    log, run_dir = tmp_path / "log.jsonl", tmp_path / "run"
    monkeypatch.setenv("FAKESC2_LOG", str(log))
    # A log is written when the game is asked to quit, unless a signal is quicker.
    monkeypatch.setenv("FAKESC2_IGNORE_TERM", "1")
    command = ["train", "env=smac", "env.scenario=3m", "env.workers=2", *SMALL, f"run.dir={run_dir}"]
    command += ["replay.min_rows=4", "run.total_env_steps=200"]
    command += ["evaluation.num_episodes=4", "evaluation.every_time_steps=100"]

    progress = RunReport.progress
    seen = []

    def stop_once(self, phase, *args):
        seen.append(phase)
        if len(seen) == 5:
            signal.raise_signal(signal.SIGTERM)
        progress(self, phase, *args)

    monkeypatch.setattr(RunReport, "progress", stop_once)
    assert main(command) == 128 + signal.SIGTERM
    assert main(["resume", str(run_dir)]) == 0

    rows = read_rows(run_dir / "metrics.jsonl")
    assert rows[-1]["env_steps"] >= 200 and rows[-1]["grad_steps"] > 0 and len(seen) == rows[-1]["iteration"]
    assert seen[-1] == rows[-1]["phase"] == "train"
    for row in rows:
        assert row["test_episodes"] == 4 and 0 <= row["test_win_rate"] <= 1 and 0 < row["test_length_mean"] <= 60
        assert 0 <= row["test_return_mean"] <= 20 + 1e-3
    assert np.isfinite(rows[-1]["td_loss"])
    if log.exists():  # else the game keeps none
        games = [json.loads(line) for line in log.read_text().splitlines()]
        assert len(games) == 4 and all(game["rejected_actions"] == 0 for game in games)
