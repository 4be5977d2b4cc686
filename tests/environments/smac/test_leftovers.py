"""What a killed program leaves behind: games end with their workers, and the next pool removes the folder."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from doubles.starcraft2_double import FACTORY, OBEDIENT, UNKILLABLE
from processes import running, wait_until

from limae_jax.catalogue.smac_game import GameSettings
from limae_jax.environments.smac.pool import BattlePool
from limae_jax.environments.workers.leftovers import PREFIX, make_folder, sweep

pytestmark = pytest.mark.slow

PARENT = """
import sys, time
sys.path[:0] = {path!r}
from limae_jax.environments.smac.pool import BattlePool
from limae_jax.catalogue.smac_game import GameSettings
pool = BattlePool(GameSettings("3m", options={options!r}, env_factory={factory!r}), 2)
print(*(worker._process.pid for worker in pool._workers), flush=True)
pool.reset()
print("playing", flush=True)
time.sleep(600)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files that nobody else sweeps."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def pids(tmp_path):
    """Where workers and games leave their process ids."""
    folder = tmp_path / "pids"
    folder.mkdir()
    return folder


def left(temporary):
    return [path.name for path in temporary.iterdir() if path.name.startswith(PREFIX)]


def kill(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("game", [OBEDIENT, UNKILLABLE], ids=["obedient", "unkillable"])
@pytest.mark.parametrize("who", ["everyone", "everyone while launching", "main", "worker"])
def test_a_game_ends_with_its_worker_however_that_is_killed(who, game, temporary, pids):
    path = sys.path
    program = PARENT.format(path=path, options={"pids": str(pids), "game": game}, factory=FACTORY)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as main:
        workers = [int(pid) for pid in main.stdout.readline().split()]
        if who == "everyone while launching":
            wait_until(lambda: len(os.listdir(pids)) > len(workers), "the first game")
        else:
            assert main.stdout.readline() == "playing\n"
        games = {int(name) for name in os.listdir(pids)} - set(workers)
        if who == "worker":
            # Its pool does not look: only the kernel can end the game.
            kill(workers[0])
            wait_until(lambda: len(games & set(running(pids))) == 1, "the end of one game")
        kill(main.pid, *(workers if who.startswith("everyone") else []))
    wait_until(lambda: not running(pids), "the end of all processes")
    with BattlePool(GameSettings("3m", env_factory=FACTORY), 1) as pool:
        assert left(temporary) == [pool._folder.name]
    assert left(temporary) == []


def abandoned() -> Path:
    """The folder of a pool whose program is dead."""
    folder, lock = make_folder()
    os.close(lock)
    return folder


def sleeper(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(["sleep", "600"], env={**os.environ, "TMPDIR": str(folder)})


def test_an_orphaned_game_is_ended_and_nothing_else(temporary):
    """Where the kernel has no parent-death signal, or the game is not the worker's own child."""
    folder, (living, lock) = abandoned(), make_folder()
    (folder / "worker_0").mkdir()
    homes = [folder / "worker_0", living / "worker_0", temporary, temporary / "worker_0"]
    orphan, *others = processes = [sleeper(home) for home in homes]
    try:
        sweep()
        orphan.wait(timeout=60)
        assert [other.poll() for other in others] == [None] * len(others)
        assert left(temporary) == [living.name]
    finally:
        os.close(lock)
        for process in processes:
            process.kill()
            process.wait()


def test_only_what_is_surely_dead_and_ours_is_swept(temporary):
    living, lock = make_folder()
    linked = abandoned().rename(temporary / "elsewhere")
    (temporary / f"{PREFIX}link").symlink_to(linked)
    (temporary / f"{PREFIX}without_owner").mkdir()
    (temporary / f"{PREFIX}file").touch()
    (temporary / f"{PREFIX}linked_owner").mkdir()
    (temporary / f"{PREFIX}linked_owner" / "owner.lock").symlink_to(linked / "owner.lock")
    stay = {living.name, *(f"{PREFIX}{name}" for name in ("link", "without_owner", "file", "linked_owner"))}
    if os.geteuid() == 0:
        foreign = abandoned()
        os.chown(foreign, 12345, 12345)
        stay.add(foreign.name)
    goes = abandoned()
    (goes / "worker_0.log").touch()
    sweep()
    assert set(left(temporary)) == stay and linked.is_dir()
    os.close(lock)
    sweep()
    assert set(left(temporary)) == stay - {living.name}


def test_a_folder_is_never_seen_without_its_lock(temporary, monkeypatch):
    """One program sweeps while another one makes its folder."""
    flock = fcntl.flock

    def sweep_before_locking(*arguments):
        monkeypatch.setattr(fcntl, "flock", flock)
        sweep()
        flock(*arguments)

    monkeypatch.setattr(fcntl, "flock", sweep_before_locking)
    folder, lock = make_folder()
    assert folder.is_dir()
    os.close(lock)


def test_without_locks_a_folder_is_used_and_left_alone(temporary, monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    folder, lock = make_folder()
    os.close(lock)
    sweep()
    assert folder.is_dir()
