"""A worker: one process with one game. It is started by `process.WorkerProcess` and imports neither jax nor the pool.

It leads a process group of its own, to which its game belongs too, so that both can be ended together. When its parent
is gone it ends by itself. When it is gone its game ends, by the kernel's hand.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from limae_jax.catalogue.smac_game import GameSettings
from limae_jax.environments.smac.facts import UnitReader
from limae_jax.environments.smac.messages import (
    ACT,
    DONE,
    Act,
    Command,
    Done,
    Failed,
    GameFailureError,
    Refused,
    Reset,
    SaveReplay,
    Task,
    receive,
    send,
)
from limae_jax.environments.smac.parent_death import end_children_with_this_process
from limae_jax.environments.smac.records import LOOPS_PER_SECOND, EpisodeRecord, GameInfo
from limae_jax.environments.smac.shared_arrays import SharedArrays
from limae_jax.errors import InputError

# How long a worker keeps its turn to launch, at most: a game has taken its port by then, or nearly always.
LAUNCH_TURN_S = 2.0
# How long an orphan may take to end its game in order.
_ORPHAN_GRACE_S = 4.0
# Between the seed of a game and that of its replacement; far from the seeds of other workers.
_SEED_STRIDE = 100_003


class Player:
    """Plays one game, watches it, and replaces it when it has failed."""

    def __init__(self, task: Task):
        """Builds the environment, and launches nothing yet.

        Raises:
            InputError: something is not installed.
        """
        self._task, self._settings = task, task.settings
        module, _, function = task.settings.env_factory.partition(":")
        self._make_env = getattr(importlib.import_module(module), function)
        self._env: Any = self._make_env(self._settings)
        self.info = _info(self._env, self._settings)
        self._units = UnitReader(task.settings.map_name)
        self._shared = SharedArrays(task.memory, self.info, task.num_workers).of(task.worker)
        self._crashes = self._finished = self._length = 0
        self._return = 0.0
        self._is_broken = self._is_playing = False

    def carry_out(self, command: Command) -> Done | Failed | Refused:
        """Does what the pool asks for. A failure leaves the game to be replaced by the next `Reset`."""
        try:
            if isinstance(command, Reset):
                return self._reset(command)
            return self._step() if isinstance(command, Act) else self._save_replay(command)
        except InputError as error:
            return Refused(str(error))
        except Exception as error:
            self._is_broken = True
            return Failed(str(error) if isinstance(error, GameFailureError) else _described(error))

    def _reset(self, command: Reset) -> Done:
        time.sleep(command.pause_s)
        # An environment in its first episode must not be reset: it would launch a second game, and count the enemies'
        # health twice in the reward's scale. A failed one has done so or is out of step with its game.
        if self._is_broken or command.crashes != self._crashes or (self._is_playing and self._finished == 0):
            self._replace(command.crashes)
        restarts = self._env.force_restarts
        with _launch_turn(self._task.folder) if self._finished == 0 else contextlib.nullcontext():
            self._env.reset()
        if self._env.force_restarts != restarts:
            raise GameFailureError("the game failed while an episode was started")
        self._is_playing, self._length, self._return = True, 0, 0.0
        self._units.start(self._env)
        self._publish(reward=0.0, is_terminal=False, is_truncated=False)
        return Done(game_version=getattr(self._env, "reported_version", None))

    def _replace(self, crashes: int) -> None:
        self._is_broken = True
        with contextlib.suppress(Exception):
            self._env.close()
        stride = _SEED_STRIDE * crashes
        self._env = self._make_env(replace(self._settings, seed=(self._settings.seed + stride) % 2**31))
        self._crashes, self._finished, self._is_broken, self._is_playing = crashes, 0, False, False

    def _step(self) -> Done:
        timeouts, restarts = self._env.timeouts, self._env.force_restarts
        reward, is_over, info = self._env.step(self._shared["action"].tolist())
        if "battle_won" not in info or self._env.force_restarts != restarts:
            raise GameFailureError("the game failed during a step")
        self._length, self._return = self._length + 1, self._return + float(reward)
        # Not from the units: SMAC also ends a battle in which only medivacs are left.
        is_truncated = is_over and self._env.timeouts != timeouts
        self._publish(reward, is_over and not is_truncated, is_truncated)
        if not is_over:
            return DONE
        self._finished, self._is_playing = self._finished + 1, False
        return Done(self._record(info, is_truncated))

    def _record(self, info: dict[str, Any], is_truncated: bool) -> EpisodeRecord:
        return EpisodeRecord(
            worker=self._task.worker,
            won=bool(info["battle_won"]),
            length=self._length,
            seconds=self._length * self._settings.step_mul / LOOPS_PER_SECOND,
            episode_return=self._return,
            dead_allies=int(info["dead_allies"]),
            dead_enemies=int(info["dead_enemies"]),
            truncated=is_truncated,
        )

    def _publish(self, reward: float, is_terminal: bool, is_truncated: bool) -> None:
        shared = self._shared
        for row, obs in zip(shared["obs"], self._env.get_obs(), strict=True):
            row[:] = obs
        shared["state"][:] = self._env.get_state()
        shared["avail"][:] = self._env.get_avail_actions()
        if self._settings.shows_units:
            for name, values in self._units.read(self._env).items():
                shared[name][:] = values
        shared["reward"][()], shared["terminal"][()], shared["truncated"][()] = reward, is_terminal, is_truncated

    def _save_replay(self, command: SaveReplay) -> Done:
        self._env.replay_dir = str(command.folder)
        self._env.replay_prefix = f"{self._settings.map_name}_{self._task.worker}"
        self._env.save_replay()
        return Done()


def _described(error: Exception) -> str:
    # Not printed as a traceback: that would push what the game said last out of the log's last lines.
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"


def _info(env: Any, settings: GameSettings) -> GameInfo:
    sizes = env.get_env_info()
    return GameInfo(
        map_name=settings.map_name,
        num_agents=sizes["n_agents"],
        num_enemies=env.n_enemies,
        obs_size=sizes["obs_shape"],
        state_size=sizes["state_shape"],
        num_actions=sizes["n_actions"],
        episode_limit=sizes["episode_limit"],
        difficulty=settings.difficulty,
        step_mul=settings.step_mul,
    )


@contextlib.contextmanager
def _launch_turn(folder: Path) -> Iterator[None]:
    """One worker of a pool after the other: games that start at the same moment may choose the same port."""
    with open(folder / "launch.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        timer = threading.Timer(LAUNCH_TURN_S, fcntl.flock, (lock, fcntl.LOCK_UN))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _end_with_parent(task: Task) -> None:
    """Ends this process group soon after the parent. Not left to PR_SET_PDEATHSIG, which follows a mere thread."""
    while os.getppid() == task.parent:
        time.sleep(0.2)
    # To the thread that may be waiting for its game: another one's signal would not wake it.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(_ORPHAN_GRACE_S)
    _tidy_up(task)


def _on_terminate(*_: Any) -> None:
    # Once: a second signal must not cut off the game's orderly end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _tidy_up(task: Task) -> None:
    if os.getppid() == task.parent:
        # The pool does the rest.
        shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    else:
        shutil.rmtree(task.folder, ignore_errors=True)
        os.killpg(os.getpgid(0), signal.SIGKILL)


def main(descriptor: int) -> None:
    """Serves the pool at the other end of a connection until it is told to end by a signal, or left alone.

    Args:
        descriptor: file descriptor of the connection.
    """
    signal.signal(signal.SIGTERM, _on_terminate)
    end_children_with_this_process()
    connection = Connection(descriptor)
    task: Task = receive(connection, ACT)
    threading.Thread(target=_end_with_parent, args=(task,), daemon=True).start()
    # Registered first, so run last: after smac has closed its game.
    atexit.register(_tidy_up, task)
    try:
        player = Player(task)
    except InputError as error:
        send(connection, Refused(str(error)))
        return
    send(connection, player.info)
    # The connection breaks off when the parent ends; the signal that follows ends this process.
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            send(connection, player.carry_out(receive(connection, ACT)))
    signal.pause()
