"""Runs on an environment of PettingZoo, from the command line."""

import numpy as np
import pytest

from limae_jax.cli.main import main
from limae_jax.metrics.jsonl import read_rows

pytestmark = [pytest.mark.slow, pytest.mark.pettingzoo]

SMALL = ["env.workers=2", "env.options={N: 2}", "system=qmix", "system.hidden_size=8", "mixer.embed_dim=4"]
SMALL += ["mixer.hypernet_dim=4", "replay.row_length=25", "replay.capacity_rows=100", "replay.batch_rows=8"]
SMALL += ["replay.min_rows=8", "evaluation.num_episodes=4", "evaluation.every_time_steps=500"]


def test_a_team_is_trained_resumed_and_evaluated(tmp_path, capsys):
    run_dir = tmp_path / "run"
    assert main(["train", "env=pettingzoo", *SMALL, "run.total_env_steps=1000", f"run.dir={run_dir}"]) == 0
    assert main(["resume", str(run_dir), "run.total_env_steps=1500"]) == 0
    rows = read_rows(run_dir / "metrics.jsonl")
    assert [row["env_steps"] >= 1000 for row in rows].count(True) >= 2 and rows[-1]["env_steps"] >= 1500
    for row in rows:
        assert row["test_length_mean"] == 25 and row["test_episodes"] == 4 and row["test_return_mean"] < 0
    assert np.isfinite(rows[-1]["loss"])
    capsys.readouterr()
    assert main(["evaluate", str(run_dir), "evaluation.num_episodes=6"]) == 0
    shown = capsys.readouterr().out
    assert "mpe2.simple_spread_v3" in shown and "episodes" in shown and "25.000" in shown
    # A team of two cannot play with three.
    assert main(["evaluate", str(run_dir), "env=pettingzoo"]) == 2
    assert "has num_agents 3, not 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["env.scenario=mpe2.simple_spred_v3"], ["env.options={M: 2}"], ["env.options={continuous_actions: true}"]],
    ids=["name", "option", "continuous"],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, tmp_path, capsys):
    assert main(["train", "env=pettingzoo", *arguments, f"run.dir={tmp_path / 'run'}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
