"""A save that is killed, or fails, at whatever moment leaves a state that was saved, in `state`, `best` and `last`."""

import contextlib
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from doubles.checkpoint_worker import (
    check_params,
    check_state,
    command,
    device_state,
    environment,
    save_step,
    templates,
)

from limae_jax.checkpoints import files
from limae_jax.checkpoints.params import save_params
from limae_jax.checkpoints.store import CheckpointStore

pytestmark = pytest.mark.slow


def check_run(run: Path, possible: tuple[int, ...]) -> int:
    """Asserts that all of it is of one of the possible steps; returns that of `state`."""
    restored = CheckpointStore(run / "state").restore(*templates(device_state(0)))
    assert restored.warnings == [] and restored.step in possible
    assert restored.host == {"step": restored.step}
    check_state(restored.small, restored.ring, restored.step)
    assert check_params(run / "last") in (restored.step, restored.step + 1)
    # The best parameters are not saved every third time.
    assert restored.step - 1 <= check_params(run / "best") <= restored.step + 1
    return restored.step


def kill_often(run: Path, times: int) -> None:
    draw, saved = random.Random(0), 0
    for _ in range(times):
        with subprocess.Popen(command("forever", run), stdout=subprocess.PIPE, env=environment(), text=True) as process:
            said = [int(process.stdout.readline()) for _ in range(2)]
            time.sleep(draw.uniform(0.0, 0.4))
            process.send_signal(signal.SIGKILL)
            said += [int(line) for line in process.stdout.read().split()]
        assert said[0] == saved + 1
        saved = check_run(run, (said[-1], said[-1] + 1))


def test_kill_minus_nine_at_any_moment(tmp_path):
    kill_often(tmp_path, 3)


@pytest.mark.exhaustive
def test_fifty_kills_in_the_middle_of_saves(tmp_path):
    kill_often(tmp_path, 50)


def params_of(step: int) -> dict:
    return device_state(step)[0]["params"]


class FaultError(Exception):
    """What stops a save."""


class Disk:
    """The operations by which checkpoints appear and vanish; from the one with a number on, they fail."""

    def __init__(self, monkeypatch, fails_at: int | None, recovers: bool):
        self.count, self._fails_at, self._recovers = 0, fails_at, recovers
        for place, name in ((files, "_fsync"), (files.os, "rename"), (files.shutil, "rmtree"), (files.os, "mkdir")):
            monkeypatch.setattr(place, name, self._failing(getattr(place, name)))

    def _failing(self, operation):
        def call(*args, **kwargs):
            self.count += 1
            if self._fails_at == self.count or (self._fails_at and self._fails_at < self.count and not self._recovers):
                raise FaultError(self.count)
            return operation(*args, **kwargs)

        return call


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A run of three steps; copy it before you change it."""
    run = tmp_path_factory.mktemp("saved") / "run"
    store = CheckpointStore(run / "state")
    for step in (1, 2, 3):
        save_step(run, store, step)
    return run


def fail(saved: Path, run: Path, fails_at: int | None, recovers: bool) -> int:
    """Saves step 4 of a copy of a run, with a fault; returns how many operations it took."""
    shutil.copytree(saved, run)
    store = CheckpointStore(run / "state")
    store.restore(*templates(device_state(0)))
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, fails_at, recovers)
        try:
            save_step(run, store, 4)
        except (FaultError, OSError):
            assert fails_at
    check_run(run, (3, 4))
    if recovers:
        # The same process may go on where the trouble passes, as on a disk that was full for a while.
        save_step(run, store, 5)
        assert check_run(run, (5,)) == 5
    shutil.rmtree(run)
    return disk.count


@pytest.mark.exhaustive
@pytest.mark.parametrize("recovers", [False, True], ids=["killed", "failed"])
def test_a_save_of_a_run_may_end_at_every_operation(saved, tmp_path, recovers):
    count = fail(saved, tmp_path / "run", None, False)
    assert count > 100
    for number in range(1, count + 1):
        fail(saved, tmp_path / "run", number, recovers)


@pytest.mark.parametrize("recovers", [False, True], ids=["killed", "failed"])
def test_parameters_may_be_replaced_up_to_every_operation(tmp_path, recovers):
    save_params(tmp_path, params_of(1), {"iteration": [1]})
    number, is_done = 0, False
    while not is_done:
        number += 1
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, number, recovers)
            with contextlib.suppress(FaultError, OSError):  # orbax may try again and fail otherwise
                save_params(tmp_path, params_of(number + 1), {"iteration": [number + 1]})
                is_done = True
        assert check_params(tmp_path) in ((number + 1,) if is_done else (number, number + 1))
        save_params(tmp_path, params_of(number + 1), {"iteration": [number + 1]})
        assert check_params(tmp_path) == number + 1
    assert number > 20
    assert len(list(tmp_path.iterdir())) == 1
