"""A finished run keeps no replay; one that is extended fills it again before it learns."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from doubles.interrupted import stop_after, without_times
from doubles.killed import Killed
from doubles.tiny import TINY
from replay_checks import check_replay

from limae_jax.cli.main import main
from limae_jax.config.compose import load_config
from limae_jax.metrics.jsonl import read_rows
from limae_jax.training import group, plan, runner
from limae_jax.training.group import GroupTrainer
from limae_jax.training.report import RunReport
from limae_jax.training.seed_program import SeedProgram

pytestmark = pytest.mark.slow

# A group of two seeds. 160 rows are 20 iterations, so warm-up and refill have three chunks of eight.
OVERRIDES = [*TINY, "run.num_seeds=2", "run.seed_batching=2", "evaluation.every_time_steps=1000"]
OVERRIDES += ["replay.min_rows=160", "replay.capacity_rows=200"]
SHORT, LONG = "run.total_env_steps=3000", "run.total_env_steps=6000"
WARMUP_ROWS = 192


@pytest.fixture(autouse=True, scope="module")
def short_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CHUNK_TIME_STEPS", 512)
        yield


@pytest.fixture
def started(monkeypatch):
    """Names of the programs that are compiled ahead, in order."""
    names, start = [], SeedProgram.start

    def noted(self, *args):
        names.append(self._name)
        start(self, *args)

    monkeypatch.setattr(SeedProgram, "start", noted)
    return names


@pytest.fixture(autouse=True)
def phases(monkeypatch):
    """The phase of each chunk. Wherever something is learned, what it is learned from is checked first."""
    seen, run_chunk = [], GroupTrainer._run_chunk

    def checked(self, plan):
        if plan.phase.learn is not None:
            check_replay(self.state, WARMUP_ROWS)
        seen.append(plan.phase.name)
        run_chunk(self, plan)

    monkeypatch.setattr(GroupTrainer, "_run_chunk", checked)
    return seen


@pytest.fixture(scope="module")
def short(tmp_path_factory, short_chunks):
    """A finished run without its replay. Copy before you extend it."""
    config = load_config([*OVERRIDES, SHORT, f"run.dir={tmp_path_factory.mktemp('short') / 'run'}"])
    assert runner.train(config).is_complete
    return Path(config.run_dir)


@pytest.fixture(scope="module")
def extended(short, tmp_path_factory):
    """The same, extended. Only read it."""
    run_dir = Path(shutil.copytree(short, tmp_path_factory.mktemp("extended") / "run"))
    assert runner.resume(run_dir, [LONG]).is_complete
    return run_dir


def rows_of(run_dir):
    return without_times(read_rows(run_dir / "metrics.jsonl"))


def state(run_dir):
    return [path.name for path in sorted(run_dir.glob("checkpoints/seeds_0_to_1/state/*"))]


def assert_equal_arrays(found, wanted):
    assert found.keys() == wanted.keys()
    assert not [name for name in found if not np.array_equal(found[name], wanted[name], equal_nan=True)]


def test_a_finished_run_keeps_two_checkpoints_without_rows(short):
    assert [name.split("_")[0] for name in state(short)] == ["checkpoint", "checkpoint"]
    assert rows_of(short)[-1]["phase"] == "train"
    before = {path: path.stat().st_mtime_ns for path in short.rglob("checkpoint_*")}
    assert runner.resume(short).is_complete
    assert {path: path.stat().st_mtime_ns for path in short.rglob("checkpoint_*")} == before


def test_an_extended_run_first_collects_by_its_policy_and_learns_nothing(short, tmp_path, phases, capsys):
    run_dir = Path(shutil.copytree(short, tmp_path / "run"))
    assert main(["resume", str(run_dir), LONG]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    said = f"first plays {WARMUP_ROWS * 8:,} time steps ({WARMUP_ROWS} rows) without learning"
    assert shown.count(said) == 1 and shown.index(said) < shown.index("refill")
    assert "checkpoint.keep_replay=true" in shown and "without the replay" in shown
    assert phases[:4] == ["refill", "refill", "refill", "train"] and set(phases[3:]) == {"train"}
    before, after = rows_of(short), rows_of(run_dir)
    assert after[: len(before)] == before
    refill = [row for row in after if row["phase"] == "refill"]
    # Counted as steps, explored by the schedule where it had come to, and no gradient step.
    assert refill and {row["grad_steps"] for row in refill} == {before[-1]["grad_steps"]}
    assert all(
        row["env_steps"] > before[-1]["env_steps"] and 0 < row["epsilon"] < before[-1]["epsilon"] for row in refill
    )
    assert after[-1]["grad_steps"] > before[-1]["grad_steps"]
    assert not [name for name in state(run_dir) if name.startswith("rows_")]


def test_programs_that_are_still_needed_are_compiled_ahead(tmp_path, started):
    """Learning first, which takes longest; the phases that are over are left out."""
    run_dir = tmp_path / "run"
    assert main(["train", *OVERRIDES, SHORT, f"run.dir={run_dir}"]) == 0
    assert started == ["init", "train", "warmup", "evaluation"]
    assert main(["resume", str(run_dir)]) == 0
    assert len(started) == 4
    assert main(["resume", str(run_dir), LONG]) == 0
    assert started[4:] == ["init", "train", "refill", "evaluation"]


@pytest.mark.parametrize("chunks", [1, 2, 3, 4])
def test_a_kill_in_the_refill_or_behind_it_changes_nothing(
    short, extended, tmp_path, monkeypatch, final_arrays, chunks
):
    run_dir = Path(shutil.copytree(short, tmp_path / "run"))
    # Saved after every chunk but the last one, which is lost.
    monkeypatch.setattr(group, "any_host", lambda is_due, is_asked: (True, is_asked))
    seen, progress = [], RunReport.progress

    def killing(self, *args):
        seen.append(args)
        if len(seen) > chunks:
            raise Killed
        progress(self, *args)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RunReport, "progress", killing)
        runner.resume(run_dir, [LONG])
    assert any(name.startswith("rows_") for name in state(run_dir))
    assert runner.resume(run_dir).is_complete
    assert rows_of(run_dir) == rows_of(extended)
    assert_equal_arrays(final_arrays(run_dir), final_arrays(extended))


def test_a_stop_before_the_first_chunk_of_the_refill_changes_nothing(
    short, extended, tmp_path, monkeypatch, final_arrays
):
    run_dir = Path(shutil.copytree(short, tmp_path / "run"))
    with monkeypatch.context() as patch:
        warning = RunReport.warning
        patch.setattr(RunReport, "warning", lambda *args: (os.kill(os.getpid(), signal.SIGINT), warning(*args)))
        assert runner.resume(run_dir, [LONG]).exit_code == 130
    assert state(run_dir) == state(short)
    assert runner.resume(run_dir).is_complete
    assert_equal_arrays(final_arrays(run_dir), final_arrays(extended))


def test_a_run_can_be_extended_again_even_by_less_than_a_refill(short, tmp_path, phases):
    run_dir = Path(shutil.copytree(short, tmp_path / "run"))
    assert runner.resume(run_dir, ["run.total_env_steps=3600"]).is_complete
    assert set(phases) == {"refill"} and not [name for name in state(run_dir) if name.startswith("rows_")]
    phases.clear()
    assert runner.resume(run_dir, [LONG]).is_complete
    assert phases[:4] == ["refill", "refill", "refill", "train"]


def test_a_kept_replay_goes_on_at_once_and_a_pruned_one_as_a_dropped_one(extended, tmp_path, phases, final_arrays):
    kept = tmp_path / "kept"
    config = load_config([*OVERRIDES, SHORT, "checkpoint.keep_replay=true", f"run.dir={kept}"])
    assert runner.train(config).is_complete
    pruned = Path(shutil.copytree(kept, tmp_path / "pruned"))
    phases.clear()
    assert runner.resume(kept, [LONG]).is_complete
    assert set(phases) == {"train"} and any(name.startswith("rows_") for name in state(kept))
    assert main(["prune", str(pruned)]) == 0
    assert not [name for name in state(pruned) if name.startswith("rows_")]
    phases.clear()
    assert runner.resume(pruned, [LONG]).is_complete
    assert phases[:4] == ["refill", "refill", "refill", "train"]
    assert rows_of(pruned) == rows_of(extended)

    def learned(run_dir):
        return {name: array for name, array in final_arrays(run_dir).items() if ".replay" not in name}

    assert_equal_arrays(learned(pruned), learned(extended))


def test_a_run_that_ends_before_it_learns_keeps_what_it_would_learn_from(tmp_path, phases, capsys):
    run_dir = tmp_path / "run"
    config = load_config([*OVERRIDES, "run.total_env_steps=500", f"run.dir={run_dir}"])
    assert runner.train(config).is_complete
    assert set(phases) == {"warmup"} and any(name.startswith("rows_") for name in state(run_dir))
    before = state(run_dir)
    assert main(["prune", str(run_dir)]) == 2
    assert "needs this replay" in capsys.readouterr().err and state(run_dir) == before
    assert runner.resume(run_dir, [SHORT]).is_complete
    assert "refill" not in phases


def test_a_run_that_was_killed_while_it_dropped_its_replay_drops_it_then(tmp_path, monkeypatch):
    run_dir = tmp_path / "run"
    config = load_config([*OVERRIDES, SHORT, f"run.dir={run_dir}"])
    save = group.CheckpointStore.save

    def killing(self, step, small, ring, rows_added, host):
        result = save(self, step, small, ring, rows_added, host)
        if step and not rows_added:
            raise Killed
        return result

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(group.CheckpointStore, "save", killing)
        patch.setattr(group, "any_host", lambda is_due, is_asked: (True, is_asked))
        runner.train(config)
    assert any(name.startswith("rows_") for name in state(run_dir))
    assert runner.train(config).is_complete
    assert not [name for name in state(run_dir) if name.startswith("rows_")]


def test_what_is_not_finished_keeps_its_replay(tmp_path, monkeypatch, capsys):
    run_dir = tmp_path / "run"
    config = load_config([*OVERRIDES, SHORT, f"run.dir={run_dir}"])
    stop_after(monkeypatch, 4)
    assert runner.train(config).exit_code == 130
    before = state(run_dir)
    assert any(name.startswith("rows_") for name in before)
    assert main(["prune", str(run_dir)]) == 2
    assert "is not finished" in capsys.readouterr().err and state(run_dir) == before
