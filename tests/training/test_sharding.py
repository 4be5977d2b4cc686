"""Seeds over several devices of one host, and over two hosts."""

import json
import os
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
from made_up_cli import COMMAND

from limae_jax.compose import load_config
from limae_jax.metrics.jsonl import read_rows
from limae_jax.training import runner
from limae_jax.training.sharding import group_seeds

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


def test_seeds_over_two_devices_do_as_on_one(tiny, cli):
    overrides = ["run.num_seeds=3", "run.seed_batching=vmapped", "run.total_env_steps=4000"]
    one, two = tiny(*overrides, name="one"), tiny(*overrides, name="two")
    runner.train(load_config(one))
    cli("train", *two, **TWO_DEVICES)
    directories = [
        Path(next(o for o in run if o.startswith("run.dir=")).removeprefix("run.dir=")) for run in (one, two)
    ]
    assert json.loads((directories[1] / "groups.json").read_text()) == [[0, 1, 2, 3]]
    assert json.loads((directories[1] / "versions.json").read_text())["device_count"] == 2
    # Counts agree exactly; a learned argmax may flip late, so values are compared in test_seeds after a few updates.
    first = [[row for row in rows_of(run) if row["iteration"] < 70] for run in directories]
    assert first[0] == first[1]
    assert {row["seed"] for row in rows_of(directories[1])} == {0, 1, 2}


def test_a_run_begun_on_one_device_is_not_continued_on_two(tiny, cli):
    overrides = tiny("run.num_seeds=3", "run.seed_batching=vmapped", "run.total_env_steps=4000")
    runner.train(load_config(overrides))
    completed = cli("train", *overrides[:-3], *overrides[-3:], "run.total_env_steps=9000", check=False, **TWO_DEVICES)
    assert completed.returncode == 2
    assert "as many devices" in completed.stderr.replace("\n", " ")


def test_two_processes_train_one_run_together(tiny, cli):
    overrides = ["run.num_seeds=2", "run.seed_batching=vmapped", "run.total_env_steps=6000"]
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
    assert [row for row in rows if row["iteration"] < 70] == [row for row in expected if row["iteration"] < 70]
    assert np.all([row["env_steps"] > 0 for row in rows])
    # What two processes saved, one can continue.
    completed = cli("resume", directories[0], "run.total_env_steps=9000")
    assert completed.returncode == 0
