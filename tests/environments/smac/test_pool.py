"""Worker processes with a double of the game: episodes, failures, and that nothing is left running."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from doubles.starcraft2_double import FACTORY, OBEDIENT, UNKILLABLE
from processes import running, wait_until

from limae_jax.catalogue.smac_game import GameSettings
from limae_jax.catalogue.smac_maps import STOP_ACTION
from limae_jax.environments.smac.pool import BattlePool
from limae_jax.environments.smac.records import FACT_COLUMNS
from limae_jax.errors import GameError, InputError

pytestmark = pytest.mark.slow

SEED = 40
EPISODE, STEP, AGENT, OWN_SEED, HAS_JAX = range(5)  # of the double's observations


def settings(timeout_s=30.0, **options):
    return GameSettings("3m", seed=SEED, timeout_s=timeout_s, options=options, env_factory=FACTORY)


def legal(steps):
    """Everyone stops; the dead do nothing."""
    return np.where(steps.avail[..., STOP_ACTION], STOP_ACTION, 0)


def play(pool, steps, count):
    """All steps of a while, those at its beginning included."""
    seen = [steps]
    for _ in range(count):
        seen.append(pool.step(legal(seen[-1])))
    return seen


@pytest.fixture
def pids(tmp_path):
    """A folder in which workers and games leave their process ids; all must have ended when the test ends."""
    folder = tmp_path / "pids"
    folder.mkdir()
    yield folder
    assert os.listdir(folder)
    wait_until(lambda: not running(folder), "the end of all processes")


def test_episodes(pids):
    script = [("win", 2), ("limit", 1), ("loss", 2)]
    with BattlePool(settings(script=script, pids=str(pids)), 2) as pool:
        assert pool.info.game_version is None
        steps = pool.reset()
        assert (pool.info.game_version, pool.info.name, pool.info.episode_limit) == ("1.2.3", "3m", 60)
        seen = play(pool, steps, 7)
        records = pool.take_records()
        assert pool.take_records() == [] and (pool.crashes, pool.discarded) == (0, 0)

    def course(name):
        return np.stack([getattr(one, name) for one in seen]).T.astype(int).tolist()

    assert course("is_first") == [[1, 0, 0, 1, 0, 1, 0, 0]] * 2
    assert course("terminal") == [[0, 0, 1, 0, 0, 0, 0, 1]] * 2
    assert course("truncated") == [[0, 0, 0, 0, 1, 0, 0, 0]] * 2
    assert not np.any(course("is_discarded"))
    rewards = np.stack([one.reward for one in seen]).T
    np.testing.assert_allclose(rewards, [[0, 1.1, 2.1, 0, 1.1, 0, 1.1, 2.1]] * 2, rtol=1e-6)
    obs = np.stack([one.obs for one in seen])
    assert obs[:, 0, 0, EPISODE].tolist() == [1, 1, 1, 2, 2, 3, 3, 3]
    assert obs[:, 1, 2, STEP].tolist() == [0, 1, 2, 0, 1, 0, 1, 2]
    assert obs[3, 1, :, AGENT].tolist() == [0, 1, 2]
    assert obs[0, :, 0, OWN_SEED].tolist() == [SEED, SEED + 1]
    assert not obs[..., HAS_JAX].any(), "a worker has imported jax"
    assert all(one.facts is None for one in seen), "nobody has asked for the units"
    assert seen[4].state.shape == (2, 48) and (seen[4].state == 1).all()
    assert seen[6].alive.all() and not seen[7].alive.any() and seen[7].avail[0, 0].tolist() == [True] + [False] * 8

    ends = [(r.worker, r.won, r.truncated, r.length, r.dead_allies, r.dead_enemies) for r in records]
    expected = [(True, False, 2, 0, 3), (False, True, 1, 0, 0), (False, False, 2, 3, 0)]
    assert sorted(ends) == sorted((worker, *end) for worker in (0, 1) for end in expected)
    win = next(record for record in records if record.won)
    assert win.episode_return == pytest.approx(3.2) and win.seconds == pytest.approx(2 * 8 / 22.4)


def test_units_arrive_by_type_and_tag():
    with BattlePool(replace(settings(), shows_units=True), 1) as pool:
        facts = pool.reset().facts
    column = FACT_COLUMNS.index
    assert facts.enemy_slots.tolist() == [[2, 1, 0]] and facts.enemies[0, :, column("x")].tolist() == [22, 21, 20]
    assert facts.allies[0, :, column("x")].tolist() == [1, 2, 3] and (facts.allies[..., column("unit_type")] == 0).all()


def test_actions_are_checked_before_they_are_sent(pids):
    with BattlePool(settings(pids=str(pids)), 1) as pool:
        with pytest.raises(RuntimeError, match="reset the pool"):
            pool.step(np.ones((1, 3), int))
        pool.reset()
        for action, message in (
            ([[1, 1, 6]], "worker 0: agent 2 cannot perform action 6"),
            ([[1, 1, 9]], "agent 2 cannot perform action 9"),
            ([[1, 1]], r"must be integers \(1, 3\)"),
            ([[1.0, 1, 1]], "must be integers"),
        ):
            with pytest.raises(ValueError, match=message):
                pool.step(np.asarray(action))
        # None of them has reached the game.
        assert pool.step(np.ones((1, 3), int)).obs[0, 0, STEP] == 1


@pytest.mark.parametrize("kind", ["restart", "raise", "kill", "hang"])
def test_a_failed_episode_is_discarded_and_its_game_replaced(kind, tmp_path, pids):
    # A hang is noticed after 1.5 times this.
    timeout_s = 1.0 if kind == "hang" else 30.0
    # In the second episode of worker 1.
    faults = {"fault": (kind, 5, SEED + 1), "once": str(tmp_path / "struck"), "pids": str(pids)}
    with BattlePool(settings(timeout_s, **faults), 2) as pool:
        seen = play(pool, pool.reset(), 9)
        assert (pool.crashes, pool.discarded) == (1, 1)
        records = pool.take_records()
    discarded = np.stack([one.is_discarded for one in seen])
    assert np.argwhere(discarded).tolist() == [[6, 1]]
    fresh = seen[6]
    assert fresh.is_first.tolist() == [False, True] and not fresh.terminal.any() and not fresh.truncated.any()
    assert fresh.reward[1] == 0 and fresh.obs[:, 0, STEP].tolist() == [2, 0]
    # Another game: it counts episodes anew, and has another seed than all that are in use.
    assert fresh.obs[1, 0, EPISODE] == 1 and fresh.obs[1, 0, OWN_SEED] not in (SEED, SEED + 1)
    # Worker 0 has played on: 3 steps, 3 steps, and the third episode is under way; worker 1 lost its second.
    assert sorted(record.worker for record in records) == [0, 0, 1, 1]


def test_a_stale_reset_is_no_episode(tmp_path, pids):
    faults = {"fault": ("stale", 2), "once": str(tmp_path / "struck"), "pids": str(pids)}
    with BattlePool(settings(**faults), 1) as pool:
        seen = play(pool, pool.reset(), 4)
        # No step had been played of it.
        assert (pool.crashes, pool.discarded) == (1, 0)
    assert [bool(one.is_first[0]) for one in seen] == [True, False, False, False, True]
    assert seen[4].is_discarded[0] and seen[4].obs[0, 0, EPISODE] == 1


def test_a_first_episode_is_never_reset_in_the_middle(pids):
    with BattlePool(settings(script=[("win", 2)], pids=str(pids)), 1) as pool:
        play(pool, pool.reset(), 1)
        # The double refuses such a reset; a new game is launched instead, and no failure is counted.
        steps = pool.reset()
        assert pool.crashes == 0 and steps.is_first[0] and steps.obs[0, 0, EPISODE] == 1
        assert len(os.listdir(pids)) == 3  # a worker and two games
        assert pool.take_records() == []


def test_giving_up_says_what_the_game_said_last(pids):
    # Each game fails at its fourth step, in its second episode: finished ones between are what keeps a run alive.
    with BattlePool(settings(fault=("raise", 4), pids=str(pids)), 1, max_crashes=2) as pool:
        play(pool, pool.reset(), 15)
        assert pool.crashes == pool.discarded == 3
    with BattlePool(settings(fault=("raise", 2), pids=str(pids)), 2, max_crashes=3) as pool:
        with pytest.raises(GameError) as raised:
            play(pool, pool.reset(), 10)
        assert pool.crashes in (5, 6) and pool.discarded == 4
    message = str(raised.value)
    assert "3m: the game of worker" in message and "failed 3 times in a row" in message
    assert "ConnectionError: the socket is closed" in message and "the game's last words" in message


def test_what_the_user_has_to_mend_is_said_at_once():
    with pytest.raises(InputError, match="install it"):
        BattlePool(settings(missing="a package is missing: install it"), 2)


def test_replays_are_saved_by_worker(tmp_path):
    with BattlePool(settings(), 2) as pool:
        pool.reset()
        pool.save_replays(tmp_path / "replays")
    assert sorted(os.listdir(tmp_path / "replays")) == ["3m_0.SC2Replay", "3m_1.SC2Replay"]


def test_closing_ends_games_that_ignore_signals_too(pids):
    pool = BattlePool(settings(game=UNKILLABLE, pids=str(pids)), 1)
    pool.reset()
    folder = pool._folder
    assert len(running(pids)) == 2
    pool.close()
    pool.close()
    assert not folder.exists()


PARENT = """
import os, sys
sys.path[:0] = {path!r}
from limae_jax.environments.smac.pool import BattlePool
from limae_jax.catalogue.smac_game import GameSettings
pool = BattlePool(GameSettings("3m", options={options!r}, env_factory={factory!r}), 2)
pool.reset()
print(pool._folder, flush=True)
{end}
"""


@pytest.mark.parametrize(
    ("end", "game"),
    [("import time; time.sleep(600)", UNKILLABLE), ("sys.exit(3)", OBEDIENT), ("os._exit(3)", OBEDIENT)],
    ids=["kill", "exit", "die"],
)
def test_nothing_outlives_the_program(end, game, pids):
    path = sys.path
    program = PARENT.format(path=path, options={"pids": str(pids), "game": game}, factory=FACTORY, end=end)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        folder = Path(parent.stdout.readline().strip())
        # Two workers and their games; after this they may be gone already.
        assert len(os.listdir(pids)) == 4 and folder.name.startswith("limae_jax_games_")
        parent.kill() if "sleep" in end else parent.wait()
    wait_until(lambda: not running(pids), "the end of all processes")
    wait_until(lambda: not folder.exists(), "the end of the folder")
