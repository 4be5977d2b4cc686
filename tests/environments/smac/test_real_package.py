"""The worker processes around oxwhirl/smac itself, and how each failure of the game comes out.

Written for a stand-in for StarCraft II's program that fails on demand (its FAKESC2_* variables); tests of failures are
skipped with a game that does not.
"""

import contextlib
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from processes import wait_until

from limae_jax.catalogue.smac_game import GameSettings
from limae_jax.catalogue.smac_maps import SMAC_MAPS, smac_sizes
from limae_jax.environments.smac.installation import check_binary, game_folder, installed_maps
from limae_jax.environments.smac.pool import BattlePool
from limae_jax.errors import GameError, InputError

pytestmark = pytest.mark.smac

LIMITS = {"3m": 60, "3s_vs_3z": 150}


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Sets variables of the stand-in; skips where the game is another."""
    if b"fakesc2" not in Path(check_binary()).read_bytes()[:4096]:
        pytest.skip("this game does not fail on demand")
    monkeypatch.setenv("FAKESC2_LOG", str(tmp_path / "log.jsonl"))

    def configure(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"FAKESC2_{name}", str(value))
        return tmp_path / "log.jsonl"

    return configure


def settings(name="3m", timeout_s=30.0, **options):
    return GameSettings(name, seed=7, timeout_s=timeout_s, options=options, shows_units=True)


def random_actions(generator, steps):
    return np.where(steps.avail, generator.random(steps.avail.shape), -1).argmax(-1)


def play_episodes(pool, count):
    """Random legal play until so many episodes are over; the records, and all steps."""
    generator, records, seen = np.random.default_rng(0), [], [pool.reset()]
    while len(records) < count:
        seen.append(pool.step(random_actions(generator, seen[-1])))
        records += pool.take_records()
    return records, seen


def started_with(mark):
    """Whether a process runs that has a text in its environment."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # not a process, or one that has ended meanwhile, or somebody else's
            # That of a process that has ended but not been waited for is empty.
            if mark.encode() in (folder / "environ").read_bytes():
                return True
    return False


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch, tmp_path):
    """Fails if a worker or game of the test does not end."""
    monkeypatch.setenv("LIMAE_JAX_TEST", str(tmp_path))
    yield
    deadline = time.monotonic() + 60
    while started_with(f"LIMAE_JAX_TEST={tmp_path}"):
        assert time.monotonic() < deadline, "a worker or a game is still running"
        time.sleep(0.1)


@pytest.mark.parametrize("name", ["3m", "8m", "3s_vs_3z", "3s5z", "MMM"])
def test_random_play(name, stand_in):
    # It writes its log when it is asked to quit, unless a signal is quicker.
    log = stand_in(IGNORE_TERM=1)
    if name not in installed_maps():
        pytest.skip(f"{name} is not installed")
    with BattlePool(settings(name), 1) as pool:
        records, seen = play_episodes(pool, 3)
        assert pool.crashes == 0 and pool.info.game_version
        sizes = pool.info
    assert (sizes.num_agents, sizes.obs_size, sizes.state_size, sizes.num_actions, sizes.episode_limit) == tuple(
        smac_sizes(name)
    )
    assert sizes.num_enemies == SMAC_MAPS[name].num_enemies
    assert len(records) == 3 and all(0 < record.length <= sizes.episode_limit for record in records)
    for one in seen:
        assert one.avail.any(-1).all() and np.isfinite(one.obs).all() and np.isfinite(one.state).all()
        # The dead see nothing and can do nothing; SMAC says who lives through what they can do.
        np.testing.assert_array_equal(one.avail[..., 0], ~one.alive)
        assert not one.obs[~one.alive].any()
    assert [json.loads(line)["rejected_actions"] for line in log.read_text().splitlines()] == [0]


def test_the_table_of_maps_is_smacs(tmp_path):
    """Asked of the package in a process of its own: importing it changes protobuf's and absl's state."""
    program = (
        "import json, sys; sys.path[:] = {path!r}\n"
        "from limae_jax.environments.smac.protocol import install_protocol\n"
        "install_protocol()\n"
        "from smac.env.starcraft2.maps.smac_maps import get_smac_map_registry\n"
        "from smac.env import StarCraft2Env\n"
        "registry = get_smac_map_registry()\n"
        "infos = {{name: StarCraft2Env(map_name=name).get_env_info() for name in registry}}\n"
        "print(json.dumps([registry, infos]))"
    )
    done = subprocess.run([sys.executable, "-c", program.format(path=sys.path)], capture_output=True, check=True)
    registry, infos = json.loads(done.stdout)
    assert set(registry) == set(SMAC_MAPS)
    for name, battle in SMAC_MAPS.items():
        theirs, info = registry[name], infos[name]
        ours = (battle.num_agents, battle.num_enemies, battle.limit, battle.num_shown_types)
        assert ours == (theirs["n_agents"], theirs["n_enemies"], theirs["limit"], theirs["unit_type_bits"])
        names = ("n_agents", "obs_shape", "state_shape", "n_actions", "episode_limit")
        assert tuple(smac_sizes(name)) == tuple(info[key] for key in names)


def test_wins_and_limits_are_told_apart(stand_in):
    stand_in(ENEMY_DAMAGE=0, ENEMY="hold", ALLY_DAMAGE=20)
    with BattlePool(settings(), 1) as pool:
        steps, records = pool.reset(), []
        while not records:
            # East, where the enemies stand, and attack what can be attacked.
            attack = steps.avail[..., 6:].any(-1)
            action = np.where(attack, 6 + steps.avail[..., 6:].argmax(-1), np.where(steps.avail[..., 4], 4, 1))
            steps = pool.step(action)
            records = pool.take_records()
        assert steps.terminal[0] and not steps.truncated[0]
        (record,) = records
        assert record.won and record.dead_enemies == 3 and record.episode_return == pytest.approx(20)
        # The same game goes on: now nobody comes near the enemy.
        steps = pool.step(np.ones((1, 3), int))
        for _ in range(LIMITS["3m"]):
            assert not steps.truncated[0]
            steps = pool.step(np.ones((1, 3), int))
        assert steps.truncated[0] and not steps.terminal[0] and pool.take_records()[0].truncated


@pytest.mark.parametrize("fault", ["crash@20", "exit@20", "close@20", "error@20", "crash@20:observation"])
def test_a_failing_game_is_replaced_and_its_reward_stays_in_scale(fault, stand_in, tmp_path):
    stand_in(FAULT=fault, FAULT_ONCE=tmp_path / "struck")
    with BattlePool(settings(), 1) as pool:
        records, seen = play_episodes(pool, 1)
        assert (pool.crashes, pool.discarded) == (1, 1)
    assert sum(one.is_discarded[0] for one in seen) == 1
    _, probe = _scale_of(records[0], seen)
    assert probe == pytest.approx(365 / 20)


def _scale_of(record, seen):
    """Health points that a reward of 1 stands for, from the first damage that was done in the last episode."""
    start = max(index for index, one in enumerate(seen) if one.is_first[0])
    for before, after in zip(seen[start:], seen[start + 1 :], strict=False):
        lost = before.facts.enemies[0, :, 1] - after.facts.enemies[0, :, 1]
        dead = (before.facts.enemies[0, :, 1] > 0) & (after.facts.enemies[0, :, 1] == 0)
        if lost.sum() > 0 and not dead.any():
            return record, float(lost.sum() / after.reward[0])
    pytest.fail("nobody was hurt")


def test_a_stale_reset_is_found_out(stand_in, tmp_path):
    stand_in(FAULT="crash@26:observation", FAULT_ONCE=tmp_path / "struck", ENEMY="passive")
    with BattlePool(settings(), 1) as pool:
        # Observations: one to begin with, one a step; SMAC waits for the units by observing at a reset.
        generator, steps, flags = np.random.default_rng(0), pool.reset(), []
        for _ in range(70):
            steps = pool.step(random_actions(generator, steps))
            flags.append((steps.is_first[0], steps.is_discarded[0]))
        assert pool.crashes == 1
    assert [first for first, discarded in flags if discarded] == [True]


def test_a_hanging_game_is_given_up_and_killed(stand_in, tmp_path):
    stand_in(FAULT="hang@5", FAULT_ONCE=tmp_path / "struck", IGNORE_TERM=1, LINGER_S=60)
    with BattlePool(settings(timeout_s=8.0), 1) as pool:
        generator, steps = np.random.default_rng(0), pool.reset()
        for _ in range(6):
            steps = pool.step(random_actions(generator, steps))
        assert (pool.crashes, pool.discarded) == (1, 1)


def test_a_game_that_outlives_its_killed_worker_is_ended(stand_in):
    stand_in(LINGER_S=60)
    with BattlePool(settings(), 1) as pool:
        steps = pool.reset()
        os.kill(pool._workers[0]._process.pid, 9)
        steps = pool.step(random_actions(np.random.default_rng(0), steps))
        assert steps.is_discarded[0] and pool.crashes == 1


PARENT = """
import sys, time
sys.path[:0] = {path!r}
from limae_jax.environments.smac.pool import BattlePool
from limae_jax.catalogue.smac_game import GameSettings
pool = BattlePool(GameSettings("3m"), 2)
print(pool._folder, *(worker._process.pid for worker in pool._workers), flush=True)
pool.reset()
print("playing", flush=True)
time.sleep(600)
"""


def processes_of(folder):
    """All whose temporary folder is in this one: workers, and games that pysc2 started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.environ().get("TMPDIR", "/")).parent == Path(folder):
                found.append(process.pid)
    return found


@pytest.mark.parametrize("moment", ["playing", "launching"])
def test_games_end_with_a_program_that_is_killed_with_its_workers(moment, stand_in):
    stand_in(LINGER_S=60, IGNORE_TERM=1, START_DELAY=5 if moment == "launching" else 0)
    command = [sys.executable, "-c", PARENT.format(path=sys.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        folder, *workers = parent.stdout.readline().split()
        if moment == "playing":
            assert parent.stdout.readline() == "playing\n"
        # Both games, or the first one, which keeps the other from being launched at the same moment.
        wait_until(lambda: len(processes_of(folder)) > len(workers), "the first game")
        for pid in (parent.pid, *map(int, workers)):
            os.kill(pid, 9)
    wait_until(lambda: not processes_of(folder), "the end of the games")
    assert Path(folder).exists()
    with BattlePool(settings(), 1):
        assert not Path(folder).exists()


def test_a_game_that_never_starts(stand_in):
    stand_in(LAUNCH="fail")
    with pytest.raises(GameError, match=r"failed 2 times in a row.*Failed to connect to the SC2 websocket"):
        with BattlePool(settings(), 1, max_crashes=2) as pool:
            pool.reset()


def test_a_damaged_map_is_named(stand_in, tmp_path, monkeypatch):
    folder = tmp_path / "StarCraftII"
    (folder / "Maps/SMAC_Maps").mkdir(parents=True)
    (folder / "Versions").symlink_to(game_folder() / "Versions")
    (folder / "Maps/SMAC_Maps/3m.SC2Map").write_text("not a map")
    monkeypatch.setenv("SC2PATH", str(folder))
    with pytest.raises(InputError, match=r"3m.SC2Map: damaged, or made for another version of StarCraft II"):
        with BattlePool(settings(), 1) as pool:
            pool.reset()


def test_replays(tmp_path):
    with BattlePool(settings(), 1) as pool:
        pool.reset()
        pool.save_replays(tmp_path)
    (replay,) = tmp_path.glob("3m_0_*.SC2Replay")
    assert replay.stat().st_size > 0 and stat.S_ISREG(replay.stat().st_mode)
