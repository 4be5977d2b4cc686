"""Fixtures of what trains: a made-up game in place of SMAX, programs compiled once, and small runs."""

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from doubles import checkpoint_worker
from doubles.fakes import CountingEnv
from doubles.made_up_cli import COMMAND
from doubles.tiny import TINY
from limae_jax.config import CheckpointConfig, MetricsConfig, RunConfig
from limae_jax.config.traced import traced_names, with_values
from limae_jax.training import plan, runner, setup

_make_setup = setup.make_setup
_programs: dict = {}


@pytest.fixture(autouse=True, scope="module")
def game(request):
    """Training plays a made-up game, which compiles in a tenth of the time, unless the module says PLAYS_SMAX."""
    with pytest.MonkeyPatch.context() as patch:
        if not getattr(request.module, "PLAYS_SMAX", False):
            patch.setattr(setup, "make_env", lambda config: CountingEnv())
        yield


def _shared_setup(config, num_devices=None):
    """`make_setup`, but equal programs are compiled once for all runs of this process.

    They depend neither on how long a run is, nor where it lives, nor when it is evaluated.
    """
    made = _make_setup(config, num_devices)
    if made.player is not None:  # its games belong to the run
        return made
    evaluation = dataclasses.replace(config.evaluation, every_time_steps=1)
    same = dataclasses.replace(
        config, run=RunConfig(), checkpoint=CheckpointConfig(), metrics=MetricsConfig(), evaluation=evaluation
    )
    # Traced settings are arguments, so programs that differ in nothing else are equal too. Only `init` has those of the
    # first such run, which `GroupTrainer` replaces.
    untraced = repr(with_values(same, dict.fromkeys(traced_names(same))))
    key = (untraced, num_devices, plan.CHUNK_TIME_STEPS, type(made.env))
    made.init, made.evaluate, made.chunks, made.compiler = _programs.setdefault(
        key, (made.init, made.evaluate, made.chunks, made.compiler)
    )
    return made


@pytest.fixture(autouse=True, scope="session")
def compile_once():
    with pytest.MonkeyPatch.context() as patch:
        for module in (setup, runner):
            patch.setattr(module, "make_setup", _shared_setup)
        yield


@pytest.fixture
def tiny(tmp_path):
    """Makes the overrides of a tiny run in a directory of its own; later ones win."""

    def overrides(*more: str, name: str = "run") -> list[str]:
        # With the replay, so that all of it can be compared.
        return [*TINY, "checkpoint.keep_replay=true", f"run.dir={tmp_path / name}", *more]

    return overrides


@pytest.fixture
def cli(request):
    """Runs the command line in a process of its own, as a user would; see `game`."""
    is_real = getattr(request.module, "PLAYS_SMAX", False)
    program = [sys.executable, "-m", "limae_jax"] if is_real else COMMAND

    def run(*arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [*program, *arguments]
        env = {**os.environ, **environment}
        completed = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        if check and completed.returncode != 0:
            pytest.fail(f"{' '.join(arguments)}: exit {completed.returncode}\n{completed.stdout}\n{completed.stderr}")
        return completed

    return run


@pytest.fixture
def final_arrays():
    """Reads every array of a run's newest checkpoints: the state, the whole replay and the best parameters."""

    def read(run_dir):
        import jax
        import numpy as np

        from limae_jax.runs.directory import group_directory, groups_as_begun
        from limae_jax.runs.stored import read_run
        from limae_jax.training.group import GroupTrainer
        from limae_jax.training.setup import devices_for, make_setup

        class Silent:
            def warning(self, text):
                raise AssertionError(text)

        run_dir = Path(run_dir)
        config = read_run(run_dir)
        setup = make_setup(config, devices_for(config, run_dir, config.seeds))
        arrays = {}
        for group in groups_as_begun(run_dir, [], setup.mesh.size):
            trainer = GroupTrainer(setup, group, len(group), group_directory(run_dir, group), Silent())
            assert trainer.is_restored
            tree = (trainer.state, trainer._best.params, trainer.progress.best_score, trainer.progress.iteration)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
                arrays[f"{group[0]}{jax.tree_util.keystr(path)}"] = np.asarray(leaf)
        return arrays

    return read


@pytest.fixture
def run_pair():
    """Two processes that save and restore their shards in a directory; the last step is 6."""

    def run(directory: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        commands = [checkpoint_worker.command("pair", directory, port, index) for index in range(2)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        processes = [subprocess.Popen(command, env=checkpoint_worker.environment(), **pipes) for command in commands]
        outputs = [process.communicate(timeout=120)[0].decode() for process in processes]
        assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)

    return run
