"""A pool of games, each in a worker process, stepped together."""

from __future__ import annotations

import atexit
import os
import shutil
from dataclasses import replace
from typing import Any, cast

import numpy as np

from limae_jax.environments.workers.game import GameSettings
from limae_jax.environments.workers.leftovers import make_folder, sweep
from limae_jax.environments.workers.messages import ACT, Ask, Command, Done, Failed, Refused, Reset, Task
from limae_jax.environments.workers.process import WorkerProcess, ready, stop
from limae_jax.environments.workers.records import EpisodeRecord, GameInfo, Steps
from limae_jax.environments.workers.shared_arrays import SharedArrays, create_memory
from limae_jax.errors import GameError, InputError

# Factor on `GameSettings.timeout_s`: the worker's own timeout comes first, because its message says more.
_PATIENCE = 1.5
# Additional seconds: to start an interpreter with its imports, to launch a game, and for each worker's turn to launch.
_START_S = 120.0
_LAUNCH_S = 60.0
_TURN_S = 2.0
# Seconds to wait before a game is launched again, for each failure in a row except the first.
_PAUSE_S = 0.5


class WorkerPool:
    """W games. Use the pool as a context manager, or `close` it; it closes itself when Python exits.

    A worker whose episode has ended is reset by the next `step`, as in `environments.vector.VectorEnv`. A game that
    fails (crashes, hangs, exits, or starts an episode wrongly) is replaced, and the worker continues with the first
    timestep of a new episode, marked `is_discarded`.

    Attributes:
        info: sizes of the game, and its version once a game has run.
        num_workers: W.
        crashes: number of game failures so far.
        discarded: number of episodes discarded because of failures.
    """

    info: GameInfo

    def __init__(self, settings: GameSettings, num_workers: int, max_crashes: int = 5):
        """Starts the processes, but does not launch the games.

        Args:
            settings: settings of the games; worker w's seed is `settings.seed` + w.
            num_workers: W.
            max_crashes: failures of one worker in a row, without a finished episode, after which the pool gives up.

        Raises:
            InputError: something is not installed.
            GameError: the processes kept failing.
        """
        if num_workers < 1 or max_crashes < 1:
            raise ValueError(f"num_workers={num_workers}, max_crashes={max_crashes}: must be at least 1")
        self.num_workers = num_workers
        self.crashes = self.discarded = 0
        self._settings, self._max_crashes = settings, max_crashes
        self._crashes_of, self._in_a_row = [0] * num_workers, [0] * num_workers
        self._records: list[EpisodeRecord] = []
        # Legal actions and ended episodes of the last step; copies, since the caller may modify its own arrays.
        self._seen: tuple[np.ndarray, np.ndarray] | None = None
        self._arrays: SharedArrays | None = None
        self._is_closed = False
        sweep()
        self._folder, self._folder_lock = make_folder()
        self._memory = create_memory()
        self._workers = [WorkerProcess(self._task(worker)) for worker in range(num_workers)]
        atexit.register(self.close)
        try:
            for worker in self._workers:
                worker.start(_START_S)
            self.info = self._meet()
            self._arrays = SharedArrays(self._memory, self.info, num_workers)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reset(self) -> Steps:
        """Starts an episode in every worker; running episodes are abandoned and leave no record."""
        self._carry_out({worker: self._reset_of(worker) for worker in range(self.num_workers)})
        everyone, nobody = np.ones(self.num_workers, bool), np.zeros(self.num_workers, bool)
        return self._see(everyone, nobody)

    def step(self, action: np.ndarray) -> Steps:
        """Plays one joint action in every worker, or starts the next episode where the last one ended.

        Args:
            action: [W, A] integers in the game's numbering; not used where the episode has ended.

        Raises:
            ValueError: an action is not available.
            GameError: a game kept failing; the pool is then closed.
        """
        if self._seen is None or self._arrays is None:
            raise RuntimeError("reset the pool before its first step")
        action, (avail, is_over) = np.asarray(action), self._seen
        _check_actions(action, avail, is_over)
        self._arrays.command(action)
        commands: dict[int, Command] = {
            worker: self._reset_of(worker) if over else ACT for worker, over in enumerate(is_over.tolist())
        }
        failed = self._carry_out(commands)
        is_discarded = np.zeros(self.num_workers, bool)
        if failed:
            is_discarded[list(failed)] = True
            self.discarded += int(np.sum(is_discarded & ~is_over))
        return self._see(is_over | is_discarded, is_discarded)

    def take_records(self) -> list[EpisodeRecord]:
        """Returns the episodes that finished since the last call, in the order in which they ended."""
        records, self._records = self._records, []
        return records

    def further(self) -> dict[str, np.ndarray]:
        """Returns the current arrays [W, ...] specific to this kind of game; see `records.GameInfo`."""
        if self._arrays is None:
            raise RuntimeError("the pool is closed")
        return self._arrays.further()

    def ask(self, method: str, *arguments: Any) -> set[int]:
        """Calls a method specific to this kind of game in every worker.

        Args:
            method: name of the method.
            arguments: its arguments; the worker's number is appended.

        Returns:
            The workers where the call failed. Their games have been replaced, and the pool then needs a `reset`.
        """
        if self._seen is None:
            raise RuntimeError("reset the pool before calling `ask`")
        failed = self._carry_out({worker: Ask(method, (*arguments, worker)) for worker in range(self.num_workers)})
        if failed:
            # The replaced games are in new episodes.
            self._seen = None
        return failed

    def close(self) -> None:
        """Ends all games and processes, by force if needed, and frees their resources. May be called repeatedly."""
        if self._is_closed:
            return
        self._is_closed = True
        atexit.unregister(self.close)
        stop(self._workers)
        self._arrays = self._seen = None
        os.close(self._memory)
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._folder_lock)

    def _task(self, worker: int) -> Task:
        settings: GameSettings = replace(cast(Any, self._settings), seed=self._settings.seed + worker)
        return Task(settings, worker, self.num_workers, self._memory, self._folder, os.getpid())

    def _meet(self) -> GameInfo:
        waiting, infos = dict(enumerate(self._workers)), []
        while waiting:
            for number in ready(waiting):
                message = self._hear(number)
                if isinstance(message, Failed):
                    self._workers[number].kill()
                    self._workers[number].start(_START_S)
                else:
                    infos.append(message)
                    del waiting[number]
        return infos[0]

    def _reset_of(self, worker: int) -> Reset:
        return Reset(_PAUSE_S * max(0, self._in_a_row[worker] - 1), self._crashes_of[worker])

    def _carry_out(self, commands: dict[int, Command]) -> set[int]:
        """Sends one command to each worker and waits; a worker that fails starts a new episode of a new game.

        Returns:
            The numbers of the workers that failed.
        """
        if self._is_closed:
            raise RuntimeError("the pool is closed")
        for number, command in commands.items():
            self._tell(number, command)
        waiting, failed = {number: self._workers[number] for number in commands}, set()
        while waiting:
            for number in ready(waiting):
                message = self._hear(number)
                if isinstance(message, Failed):
                    failed.add(number)
                    self._replace(number, message)
                elif isinstance(message, Done):
                    del waiting[number]
                    self._note(number, message)
                # Else a new worker has sent its sizes, which are known.
        return failed

    def _tell(self, number: int, command: Command) -> None:
        patience_s = _PATIENCE * self._settings.timeout_s
        if isinstance(command, Reset):
            # The worker may have to pause, wait for its turn and launch a game; allowed for in every reset.
            patience_s += _LAUNCH_S + command.pause_s + self.num_workers * _TURN_S
        self._workers[number].tell(command, patience_s)

    def _replace(self, number: int, failure: Failed) -> None:
        if failure.is_gone:
            self._workers[number].kill()
            self._workers[number].start(_START_S)
        self._tell(number, self._reset_of(number))

    def _note(self, number: int, message: Done) -> None:
        if message.record is not None:
            self._records.append(message.record)
            self._in_a_row[number] = 0
        if message.game_version is not None:
            self.info = replace(self.info, game_version=message.game_version)

    def _hear(self, number: int) -> Any:
        """Returns a worker's message, and counts failures.

        Raises:
            InputError: the worker refused the settings.
            GameError: the worker has failed too often in a row.
        """
        message = self._workers[number].hear()
        if isinstance(message, Refused):
            self.close()
            raise InputError(message.error)
        if isinstance(message, Failed):
            self.crashes += 1
            self._crashes_of[number] += 1
            self._in_a_row[number] += 1
            if self._in_a_row[number] >= self._max_crashes:
                lines = self._workers[number].last_lines()
                self.close()
                raise GameError(
                    f"{self._settings.name}: the game of worker {number} failed {self._in_a_row[number]} times in "
                    f"a row without finishing an episode; last error: {message.error}; last lines: {lines or 'none'}"
                )
        return message

    def _see(self, is_first: np.ndarray, is_discarded: np.ndarray) -> Steps:
        if self._arrays is None:
            raise RuntimeError("the pool is closed")
        arrays = self._arrays.copies()
        self._seen = arrays["avail"].copy(), arrays["terminal"] | arrays["truncated"]
        return Steps(**arrays, is_first=is_first, is_discarded=is_discarded)


def _check_actions(action: np.ndarray, avail: np.ndarray, is_over: np.ndarray) -> None:
    if action.shape != avail.shape[:2] or action.dtype.kind not in "iu":
        raise ValueError(f"actions must be integers {avail.shape[:2]}, not {action.dtype} {action.shape}")
    num_workers, num_agents, num_actions = avail.shape
    existing = action % num_actions
    is_legal = avail[np.arange(num_workers)[:, None], np.arange(num_agents), existing] & (existing == action)
    is_wrong = ~(is_legal | is_over[:, None])
    if is_wrong.any():
        worker, agent = np.argwhere(is_wrong)[0]
        raise ValueError(f"worker {worker}: agent {agent} cannot perform action {action[worker, agent]}")
