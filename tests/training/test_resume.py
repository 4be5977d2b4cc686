"""A run that is stopped, killed or extended is, in the end, the run that never was."""

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from doubles.interrupted import assert_equal_runs, stop_after, without_times
from doubles.made_up_cli import COMMAND
from doubles.tiny import TINY
from event_files import points_of

from limae_jax.cli.main import main
from limae_jax.config.compose import load_config
from limae_jax.errors import InputError
from limae_jax.metrics.jsonl import read_rows
from limae_jax.runs.lock import locked
from limae_jax.training import runner
from limae_jax.training.report import RunReport

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The directory of a run that nothing disturbed. No test may write to it."""
    run_dir = tmp_path_factory.mktemp("uninterrupted") / "run"
    config = load_config([*TINY, "run.num_seeds=2", "checkpoint.keep_replay=true", f"run.dir={run_dir}"])
    assert runner.train(config).exit_code == 0
    return config.run_dir


def test_what_was_counted_before_a_stop_is_in_the_next_row(tiny, final_arrays, monkeypatch):
    overrides = ["run.num_seeds=2", "evaluation.every_time_steps=9000"]
    whole, stopped = (load_config(tiny(*overrides, name=name)) for name in ("whole", "stopped"))
    runner.train(whole)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        assert runner.train(stopped).exit_code == 130
    runner.train(stopped)
    assert_equal_runs(stopped.run_dir, whole.run_dir, final_arrays)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_other_programs_stops_and_saves(tiny, monkeypatch, number, capsys):
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        stop_after(patch, 1, number)
        assert main(["train", *tiny()]) == 128 + number
    assert "stopped and saved; continue with: limae-jax resume" in capsys.readouterr().out
    assert signal.getsignal(number) is before
    assert main(["train", *tiny()]) == 0


def test_the_same_command_again_continues_and_then_does_nothing(tiny, final_arrays, uninterrupted, monkeypatch):
    config = load_config(tiny("run.num_seeds=2", name="again"))
    with monkeypatch.context() as patch:
        stop_after(patch, 1)  # after the warm-up
        runner.train(config)
    assert runner.train(config).is_complete
    assert_equal_runs(config.run_dir, uninterrupted, final_arrays)
    before = (Path(config.run_dir) / "metrics.jsonl").read_bytes()
    assert runner.train(config).exit_code == 0
    assert (Path(config.run_dir) / "metrics.jsonl").read_bytes() == before


def test_an_extended_run_equals_one_that_was_long_from_the_start(tiny, final_arrays, uninterrupted):
    config = load_config(tiny("run.num_seeds=2", "run.total_env_steps=6000", name="extended"))
    assert runner.train(config).is_complete
    longer = runner.resume(Path(config.run_dir), ["run.total_env_steps=10000"])
    assert longer.is_complete
    arrays, expected = final_arrays(config.run_dir), final_arrays(uninterrupted)
    # The short run ended with an evaluation that the long one never made: it may have found a better "best".
    trained = [name for name in expected if "[0]" in name.split(".")[0]]
    assert trained
    assert all(np.array_equal(arrays[name], expected[name], equal_nan=True) for name in trained)


def test_any_other_change_is_refused_with_the_difference(tiny, uninterrupted):
    with pytest.raises(InputError, match=r"system\.gamma: 0\.99 -> 0\.9"):
        runner.resume(Path(uninterrupted), ["system.gamma=0.9"])
    with pytest.raises(InputError, match=r"total_env_steps"):
        runner.resume(Path(uninterrupted), ["run.total_env_steps=5000"])
    with pytest.raises(InputError, match=r"env\.max_steps: 12 -> 13"):
        runner.train(load_config([*TINY, "run.num_seeds=2", "env.max_steps=13", f"run.dir={uninterrupted}"]))


def test_sigterm_saves_and_names_the_command_that_continues(tiny):
    overrides = tiny("run.total_env_steps=100000000", "evaluation.every_time_steps=20000")
    process = start(overrides)
    wait_for_rows(overrides, 1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 143
    run_dir = run_dir_of(overrides)
    assert f"limae-jax resume {run_dir}" in output.replace("\n", "")
    assert read_rows(Path(run_dir) / "metrics.jsonl")


def test_a_killed_run_loses_no_row_and_doubles_none(tiny, cli, final_arrays, uninterrupted):
    overrides = tiny("run.num_seeds=2", "checkpoint.every_s=0.2", name="killed")
    process = start(overrides)
    wait_for_rows(overrides, 2)
    process.kill()
    process.communicate(timeout=60)
    run_dir = run_dir_of(overrides)
    cli("resume", run_dir)
    rows = read_rows(Path(run_dir) / "metrics.jsonl")
    assert without_times(rows) == without_times(read_rows(Path(uninterrupted) / "metrics.jsonl"))


def test_tensorboard_has_each_row_once_after_a_kill(tiny, monkeypatch):
    """The second group of seeds is killed between two evaluations, and goes on from its checkpoint before them."""
    pytest.importorskip("tensorboardX")
    config = load_config(tiny("run.num_seeds=2", "evaluation.every_time_steps=1000", "metrics.tensorboard=true"))
    run_dir, seen = Path(config.run_dir), []

    class Killed(BaseException):
        """Nothing catches it, and nothing is saved."""

    evaluation = RunReport.evaluation

    def killed(self, rows):
        evaluation(self, rows)
        seen.extend(row for row in rows if row["seed"] == 1)
        if len(seen) == 3:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RunReport, "evaluation", killed)
        runner.train(config)
    assert len(points_of(run_dir, "test_return_mean/seed_1")) == 3
    assert runner.train(config).is_complete
    rows = read_rows(run_dir / "metrics.jsonl")
    for seed in (0, 1):
        points = points_of(run_dir, f"test_return_mean/seed_{seed}")
        assert [step for step, _ in points] == [row["env_steps"] for row in rows if row["seed"] == seed]
    # The mean is of both, though they were trained one after the other.
    assert len(points_of(run_dir, "test_return_mean/mean")) == len(points)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tiny, cli, final_arrays, uninterrupted, monkeypatch):
    config = load_config(tiny("run.num_seeds=2", "checkpoint.every_s=0.001", name="damaged"))
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        runner.train(config)
    newest = sorted(Path(config.run_dir).glob("checkpoints/seeds_0_to_0/state/checkpoint_*"))[-1]
    victim = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 0xFF
    victim.write_bytes(data)
    completed = cli("resume", config.run_dir)
    assert "damaged" in completed.stdout + completed.stderr
    rows, wanted = (read_rows(Path(run) / "metrics.jsonl") for run in (config.run_dir, uninterrupted))
    assert without_times(rows) == without_times(wanted)


def test_two_processes_never_train_the_same_run(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run"), pytest.raises(InputError, match="another process is training it"):
        runner.train(load_config(tiny()))


def start(overrides):
    command = [*COMMAND, "train", *overrides]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_rows(overrides, count):
    run_dir = run_dir_of(overrides)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        path = Path(run_dir) / "metrics.jsonl"
        if path.exists() and len([line for line in path.read_text().splitlines() if json.loads(line)]) >= count:
            return
        time.sleep(0.05)
    pytest.fail("the run wrote no metrics")


def run_dir_of(overrides):
    return next(item for item in overrides if item.startswith("run.dir=")).removeprefix("run.dir=")
