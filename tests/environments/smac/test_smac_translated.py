"""Whole evaluations through oxwhirl/smac itself, of teams trained on SMAX and on SMAC."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from doubles.fakes import noise_like

from limae_jax.catalogue.smac_maps import SMAC_MAPS
from limae_jax.config.compose import load_config
from limae_jax.config.text import to_yaml
from limae_jax.environments.smac.installation import check_binary
from limae_jax.environments.workers import process
from limae_jax.evaluation import starcraft2 as smac_evaluation
from limae_jax.evaluation.policy import StoredTeams
from limae_jax.evaluation.starcraft2 import evaluate_in_smac

pytestmark = pytest.mark.smac

EPISODES = 32


@pytest.fixture
def untrained(monkeypatch, tmp_path):
    """Makes the run directory of a single team that has not learned anything."""

    def load_teams(run_dir, system, checkpoint):
        params = jax.eval_shape(jax.vmap(system.init), jax.random.split(jax.random.key(0), 1)).params
        return StoredTeams(np.arange(1), noise_like(params, seed=0), np.zeros(1, np.int32))

    def make(*overrides):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        config = load_config(["system=vdn", "system.hidden_size=8", *overrides, f"run.dir={folder}"])
        (folder / "config.yaml").write_text(to_yaml(config))
        return folder

    monkeypatch.setattr(smac_evaluation, "load_teams", load_teams)
    return make


@pytest.fixture
def is_stand_in(monkeypatch, tmp_path):
    """Whether the game is one that notes in a file how many orders it refused."""
    monkeypatch.setenv("FAKESC2_LOG", str(tmp_path / "games.jsonl"))
    # A game that is not given the time to end in order, or is ended by a signal before that, notes nothing.
    monkeypatch.setenv("FAKESC2_IGNORE_TERM", "1")
    monkeypatch.setattr(process, "GRACE_S", 60.0)
    return b"fakesc2" in Path(check_binary()).read_bytes()[:4096]


@pytest.mark.parametrize("scenario", ["3m", "8m", "3s_vs_3z", "3s_vs_4z", "3s_vs_5z", "3s5z"])
def test_whole_evaluations_without_a_refused_order(scenario, untrained, is_stand_in, tmp_path):
    translated = untrained("env=smax_smac_like", f"env.scenario={scenario}")
    native = untrained("env=smac", f"env.scenario={scenario}")
    asked = ["env=smac", "env.workers=4", f"evaluation.num_episodes={EPISODES}"]
    reports = list(evaluate_in_smac([translated, native], asked, replays=True))
    assert [report["mode"] for report in reports] == ["translated", "native"]
    for report in reports:
        (row,) = report["seeds"]
        assert (row["test_episodes"], row["crashes"], row["discarded_episodes"]) == (EPISODES, 0, 0)
        assert 0 < row["test_length_mean"] <= SMAC_MAPS[scenario].limit
        assert row["test_seconds_mean"] == pytest.approx(row["test_length_mean"] * 8 / 22.4)
        assert report["game_version"]
    assert len(list((translated / "smac" / "replays").glob(f"{scenario}_*.SC2Replay"))) == 4
    if is_stand_in:
        games = [json.loads(line) for line in (tmp_path / "games.jsonl").read_text().splitlines()]
        assert [game["rejected_actions"] for game in games] == [0] * 4
