"""Seeds over several devices of one host, and over two hosts."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from doubles.made_up_cli import COMMAND

from limae_jax.config.compose import load_config
from limae_jax.metrics.jsonl import read_rows
from limae_jax.training import runner
from limae_jax.training.plan import group_seeds
from limae_jax.training.setup import devices_for

pytestmark = pytest.mark.slow

NOT_TIMES = ("seed", "iteration", "env_steps", "grad_steps", "episodes", "test_episodes")
TWO_DEVICES = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"}


def rows_of(run_dir):
    rows = read_rows(Path(run_dir) / "metrics.jsonl")
    return sorted(({name: row[name] for name in NOT_TIMES} for row in rows), key=lambda r: (r["seed"], r["iteration"]))


@pytest.mark.parametrize(
    ("seeds", "size", "devices", "expected"),
    [
        ([0, 1, 2], 3, 1, [[0, 1, 2]]),
        ([0, 1, 2], 1, 1, [[0], [1], [2]]),
        ([0, 1, 2], 3, 2, [[0, 1, 2, 3]]),
        ([4, 5, 6], 1, 2, [[4, 5], [6, 7]]),
        ([0, 1, 2, 3, 4], 2, 1, [[0, 1], [2, 3], [4, 5]]),
        ([2**31 - 1], 1, 2, [[2**31 - 1, 0]]),
    ],
)
def test_groups_are_equal_and_fill_the_devices(seeds, size, devices, expected):
    assert [group.tolist() for group in group_seeds(seeds, size, devices)] == expected


@pytest.mark.parametrize(
    ("there", "batching", "seeds", "begun", "expected"),
    [
        (1, "auto", 1, None, 1),
        (1, "auto", 4, [[0, 1], [2, 3]], 1),
        # Left from another run of this process, or more than the run was begun on.
        (2, "auto", 1, None, 1),
        (2, "auto", 1, [[0]], 1),
        (2, "auto", 3, [[0, 1, 2]], 1),
        (4, "auto", 4, [[0, 1], [2, 3]], 2),
        (8, "auto", 6, [[0, 1, 2, 3, 4, 5]], 6),
        (2, "sequential", 3, None, 1),
        (2, "vmapped", 3, [[0, 1, 2]], 1),
        (2, "3", 3, [[0, 1, 2]], 1),
    ],
)
def test_a_run_uses_as_many_devices_as_it_needs(tmp_path, monkeypatch, there, batching, seeds, begun, expected):
    monkeypatch.setattr(jax, "device_count", lambda: there)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(2), raising=False)
    config = load_config([f"run.seed_batching={batching}", f"run.num_seeds={seeds}"])
    if begun:
        (tmp_path / "groups.json").write_text(json.dumps(begun))
    assert devices_for(config, tmp_path, range(seeds)) == expected


@pytest.mark.parametrize(
    ("seeds", "begun", "expected"), [(1, None, 1), (3, None, 3), (9, None, 4), (3, [[0, 1, 2]], 3)]
)
def test_devices_that_the_user_asked_for_are_used(tmp_path, monkeypatch, seeds, begun, expected):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    if begun:
        (tmp_path / "groups.json").write_text(json.dumps(begun))
    assert devices_for(load_config(["run.seed_batching=vmapped"]), tmp_path, range(seeds)) == expected


ONE_AFTER_THE_OTHER = """
import os, sys
os.sched_getaffinity = lambda _: range(2)
sys.path.insert(0, sys.argv[2])
from doubles import made_up_cli
from limae_jax.config.compose import load_config
from limae_jax.training import runner, setup
setup.make_env = lambda config: made_up_cli.CountingEnv()
from doubles.tiny import TINY

def run(name, *more):
    return load_config([*TINY, f"run.dir={sys.argv[1]}/{name}", "run.total_env_steps=2000", *more])

import jax
auto = "run.seed_batching=auto"
runner.train(run("two", "run.num_seeds=2", auto))
assert jax.device_count() == 2
runner.resume(sys.argv[1] + "/one", ["run.total_env_steps=3000"])
runner.train(run("new", auto))
"""


def test_runs_of_one_process_are_as_runs_of_their_own(tiny, tmp_path):
    """The first of them settles how many devices jax has; a run of one seed is then resumed, and one begun."""
    runner.train(load_config(tiny("run.seed_batching=auto", "run.total_env_steps=2000", name="one")))
    command = [sys.executable, "-c", ONE_AFTER_THE_OTHER, str(tmp_path), str(Path(__file__).parents[1])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    groups = {name: json.loads((tmp_path / name / "groups.json").read_text()) for name in ("one", "new")}
    assert groups == {"one": [[0]], "new": [[0]]}
    assert max(row["env_steps"] for row in rows_of(tmp_path / "one")) >= 3000


def test_seeds_over_two_devices_do_as_on_one(tiny, cli):
    overrides = ["run.num_seeds=3", "run.seed_batching=vmapped", "run.total_env_steps=3000"]
    one, two = tiny(*overrides, name="one"), tiny(*overrides, name="two")
    runner.train(load_config(one))
    cli("train", *two, **TWO_DEVICES)
    directories = [
        Path(next(o for o in run if o.startswith("run.dir=")).removeprefix("run.dir=")) for run in (one, two)
    ]
    assert json.loads((directories[1] / "groups.json").read_text()) == [[0, 1, 2, 3]]
    assert json.loads((directories[1] / "versions.json").read_text())["device_count"] == 2
    # Counts agree exactly; values are compared in test_seeds, after a few updates.
    first, second = map(rows_of, directories)
    assert first == second and len(first) == 3
    assert {row["seed"] for row in rows_of(directories[1])} == {0, 1, 2}


def test_a_run_goes_on_on_as_many_devices_as_share_its_groups(tiny, cli):
    overrides = tiny("run.num_seeds=3", "run.seed_batching=vmapped", "run.total_env_steps=3000")
    run_dir = Path(runner.train(load_config(overrides)).run_dir)
    # Three seeds cannot be split over two devices.
    completed = cli("train", *overrides, "run.total_env_steps=4000", **TWO_DEVICES)
    assert f"seeds 0-2, on {jax.devices()[0].device_kind}" in completed.stdout
    assert {row["seed"] for row in rows_of(run_dir)} == {0, 1, 2}
    last = {row["seed"]: row["env_steps"] for row in rows_of(run_dir)}
    assert all(steps >= 4000 for steps in last.values())


def test_two_processes_train_one_run_together(tiny):
    overrides = ["run.num_seeds=2", "run.seed_batching=vmapped", "run.total_env_steps=3000"]
    together, alone = tiny(*overrides, name="together"), tiny(*overrides, name="alone")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    command = [*COMMAND, "train", "--coordinator", coordinator, "--num-processes", "2"]
    processes = [
        subprocess.Popen(
            [*command, "--process-id", str(index), *together],
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    outputs = [process.communicate(timeout=280)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    runner.train(load_config(alone))
    directories = [
        next(o for o in run if o.startswith("run.dir=")).removeprefix("run.dir=") for run in (together, alone)
    ]
    rows, expected = (rows_of(run) for run in directories)
    assert {row["seed"] for row in rows} == {0, 1}
    assert rows == expected and len(rows) == 2
    assert np.all([row["env_steps"] > 0 for row in rows])
    # What two processes saved, one can continue.
    assert runner.resume(Path(directories[0]), ["run.total_env_steps=8000"]).is_complete
