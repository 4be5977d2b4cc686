"""A worker: one process with one game, started by `process.WorkerProcess`. Imports neither jax nor the pool.

The worker leads a process group that includes its game's processes, so that all can be ended together. The worker ends
when its parent ends, and the kernel ends the game when the worker ends.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from limae_jax.environments.workers.game import GameSettings, Move, WorkerGame
from limae_jax.environments.workers.messages import (
    ACT,
    DONE,
    Act,
    Command,
    Done,
    Failed,
    GameFailureError,
    Refused,
    Reset,
    Task,
    receive,
    send,
)
from limae_jax.environments.workers.parent_death import end_children_with_this_process
from limae_jax.environments.workers.shared_arrays import SharedArrays
from limae_jax.errors import InputError

# Seconds that an orphaned worker gets to close its game.
_ORPHAN_GRACE_S = 4.0
# Difference of the seeds of a game and its replacement; keeps clear of the seeds of other workers.
_SEED_STRIDE = 100_003


class Player:
    """Plays one game, and replaces it when it has failed."""

    def __init__(self, task: Task):
        """Builds the game.

        Raises:
            InputError: the game cannot run with these settings, for example because something is not installed.
        """
        self._task = task
        self._make_game = _imported(task.settings.game)
        self._game: WorkerGame = self._make_game(task.settings, task.folder)
        self.info = self._game.info
        self._shared = SharedArrays(task.memory, self.info, task.num_workers).of(task.worker)
        self._crashes = self._length = 0
        self._return = 0.0
        self._is_broken = self._is_playing = False

    def carry_out(self, command: Command) -> Done | Failed | Refused:
        """Carries out a command of the pool. After a failure the next `Reset` replaces the game."""
        try:
            if isinstance(command, Reset):
                return self._reset(command)
            if isinstance(command, Act):
                return self._step()
            getattr(self._game, command.method)(*command.arguments)
            return Done()
        except InputError as error:
            return Refused(str(error))
        except Exception as error:
            self._is_broken = True
            return Failed(str(error) if isinstance(error, GameFailureError) else _described(error))

    def _reset(self, command: Reset) -> Done:
        time.sleep(command.pause_s)
        # A failed game may be in an inconsistent state, or not resettable at all.
        is_stuck = self._is_playing and not self._game.can_break_off
        if self._is_broken or command.crashes != self._crashes or is_stuck:
            self._replace(command.crashes)
        self._game.reset()
        self._is_playing, self._length, self._return = True, 0, 0.0
        self._publish(Move(0.0, False, False))
        return Done(game_version=self._game.version)

    def _replace(self, crashes: int) -> None:
        self._is_broken = True
        with contextlib.suppress(Exception):
            self._game.close()
        settings: Any = self._task.settings
        seed = (settings.seed + _SEED_STRIDE * crashes) % 2**31
        self._game = self._make_game(replace(settings, seed=seed), self._task.folder)
        self._crashes, self._is_broken, self._is_playing = crashes, False, False

    def _step(self) -> Done:
        move = self._game.step(self._shared["action"].tolist())
        self._length, self._return = self._length + 1, self._return + float(move.reward)
        self._publish(move)
        if not (move.terminal or move.truncated):
            return DONE
        self._is_playing = False
        return Done(self._game.record(self._task.worker, self._length, self._return, move.truncated))

    def _publish(self, move: Move) -> None:
        for name, values in {**self._game.observe(), **move._asdict()}.items():
            target, source = self._shared[name], np.asarray(values)
            if source.shape != target.shape:
                raise GameFailureError(f"{name} has shape {source.shape}, but {target.shape} at the start")
            target[...] = source


def _imported(place: str) -> Callable[[GameSettings, Path], WorkerGame]:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _described(error: Exception) -> str:
    # No printed traceback: it would push the game's own output out of the log's last lines.
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"


def _end_with_parent(task: Task) -> None:
    """Ends this process group soon after the parent. PR_SET_PDEATHSIG would follow the parent's thread only."""
    while os.getppid() == task.parent:
        time.sleep(0.2)
    # Sent to the main thread, which may be waiting for its game: a signal to another thread would not wake it.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(_ORPHAN_GRACE_S)
    _tidy_up(task)


def _on_terminate(*_: Any) -> None:
    # Ignore a second signal, which would interrupt the closing of the game.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _tidy_up(task: Task) -> None:
    if os.getppid() == task.parent:
        # The pool removes its own folder.
        shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    else:
        shutil.rmtree(task.folder, ignore_errors=True)
        os.killpg(os.getpgid(0), signal.SIGKILL)


def main(descriptor: int) -> None:
    """Serves the pool at the other end of a connection until a signal arrives or the pool ends.

    Args:
        descriptor: file descriptor of the connection.
    """
    signal.signal(signal.SIGTERM, _on_terminate)
    end_children_with_this_process()
    connection = Connection(descriptor)
    task: Task = receive(connection, ACT)
    threading.Thread(target=_end_with_parent, args=(task,), daemon=True).start()
    # Registered first, so it runs last, after the game has closed.
    atexit.register(_tidy_up, task)
    try:
        player = Player(task)
    except InputError as error:
        send(connection, Refused(str(error)))
        return
    except Exception as error:
        send(connection, Failed(_described(error), is_gone=True))
        return
    send(connection, player.info)
    # The connection breaks when the parent ends; the signal that follows ends this process.
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            send(connection, player.carry_out(receive(connection, ACT)))
    signal.pause()
