"""`limae-jax prune` on runs and sweeps; what it leaves, and that what it pruned still serves."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from doubles.fakes import CountingEnv
from doubles.tiny import TINY
from made_up_sweeps import SHORT, swept

from limae_jax.checkpoints.files import bytes_below
from limae_jax.cli.main import main
from limae_jax.config.compose import load_config
from limae_jax.evaluation.policy import load_teams
from limae_jax.runs.lock import locked
from limae_jax.sweeps import sweep
from limae_jax.sweeps.prune import prune_runs
from limae_jax.training import plan, runner, setup
from limae_jax.training.group import GroupTrainer

pytestmark = pytest.mark.slow

# Two runs that share a program and its replay; the second one fails. test_sweep's runs keep their replay.
GRID = ["system=vdn", "system.learning_rate=1e-3,1e30", "system.max_grad_norm=1e30", "run.seed_batching=2"]


@pytest.fixture(autouse=True, scope="module")
def made_up_game():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CHUNK_TIME_STEPS", 512)
        patch.setattr(setup, "make_env", lambda config: CountingEnv())
        yield


@pytest.fixture(scope="module")
def sweep_dir(tmp_path_factory, made_up_game):
    """A finished sweep with its replay. Copy before you prune it."""
    directory = tmp_path_factory.mktemp("pruned") / "sweep"
    sweep.run_sweep(swept(directory, *GRID))
    return directory


@pytest.fixture
def copied(sweep_dir, tmp_path):
    return Path(shutil.copytree(sweep_dir, tmp_path / "sweep"))


def contents(directory):
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}


def rows_on_disk(directory):
    return list(directory.rglob("rows_*"))


def params_of(run_dir):
    system = runner.make_setup(load_config([*TINY, "system=vdn"])).parts.system
    return [np.asarray(leaf)[0] for leaf in jax.tree.leaves(load_teams(run_dir, system).params)]


def test_a_sweep_is_pruned_and_goes_on_after_a_refill(copied, monkeypatch, capsys):
    before, held, rows = contents(copied), bytes_below(copied), sum(map(bytes_below, rows_on_disk(copied)))
    assert main(["prune", str(copied), "--dry-run"]) == 0
    would = capsys.readouterr().out
    assert contents(copied) == before and "would free" in would
    assert main(["prune", str(copied)]) == 0
    assert capsys.readouterr().out == would.replace("would free", "freed")
    assert not rows_on_disk(copied)
    assert held - bytes_below(copied) > rows > 100_000
    # Again is nothing more.
    (again,) = prune_runs(sorted(copied.glob("*/seeds_*")))
    assert again.freed == 0 and not again.reason

    sound, failed = (copied / f"system.learning_rate={rate}" / "seeds_0_to_0" for rate in ("0.001", "1e+30"))
    were, phases, run_chunk = [params_of(run_dir) for run_dir in (sound, failed)], [], GroupTrainer._run_chunk
    with monkeypatch.context() as patch:
        patch.setattr(
            GroupTrainer, "_run_chunk", lambda self, plan: (phases.append(plan.phase.name), run_chunk(self, plan))
        )
        result = sweep.run_sweep(swept(copied, *GRID, "run.total_env_steps=3000"))
    assert {outcome.state for outcome in result.outcomes.values()} == {"done", "failed"}
    assert phases[0] == "refill" and set(phases[1:]) == {"train"}
    are = [params_of(run_dir) for run_dir in (sound, failed)]
    assert not all(map(np.array_equal, were[0], are[0])) and all(map(np.array_equal, were[1], are[1]))


def test_a_run_is_not_pruned_behind_the_back_of_those_that_share_its_replay(copied, capsys):
    before = contents(copied)
    one, other = sorted(copied.glob("*/seeds_*"))
    assert main(["prune", str(one)]) == 2
    # The middle of a long path is left out.
    said = capsys.readouterr().err
    assert "RUN_DIR=" in said and "/seeds_0_to_0 too, or the sweep" in said
    (left,) = prune_runs([one])
    assert left.reason == f"shares its checkpoints with 1 other run(s); name {other} too, or the sweep"
    with locked(other):
        assert main(["prune", str(copied)]) == 2
    assert "another process" in capsys.readouterr().err
    assert contents(copied) == before
    assert main(["prune", str(one), str(other)]) == 0
    assert not rows_on_disk(copied)


@pytest.mark.parametrize("arguments", [["nowhere"], ["{run}", "nowhere"], []])
def test_all_that_is_named_has_to_be_a_run(copied, arguments, capsys):
    before = contents(copied)
    assert main(["prune", *(text.format(run=copied) for text in arguments)]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and contents(copied) == before


def test_what_can_be_pruned_is_and_the_rest_is_named(copied, tmp_path, capsys):
    begun = tmp_path / "begun"
    shutil.copytree(next(copied.glob("*/seeds_*")), begun)
    (begun / "program.json").unlink()
    (begun / "metrics.jsonl").unlink()
    assert main(["prune", str(copied), str(begun)]) == 0
    freed, left = capsys.readouterr().out.splitlines()
    assert "freed" in freed and f"{begun}: left as it is: is not finished (0 of 1,500 env steps)" in left


def test_leftovers_of_killed_processes_go_too_and_the_teams_stay(tmp_path):
    config = load_config([*TINY, *SHORT, "system=vdn", f"run.dir={tmp_path / 'run'}"])
    assert runner.train(config).is_complete
    run_dir = Path(config.run_dir)
    for name in ("state", "best", "last"):
        (run_dir / "checkpoints/seeds_0_to_0" / name / "tmp_checkpoint_00000099").mkdir()
    assert main(["prune", str(run_dir)]) == 0
    assert not rows_on_disk(run_dir) and not list(run_dir.rglob("tmp_*"))
    assert len(params_of(run_dir)) > 4 and runner.resume(run_dir).is_complete
