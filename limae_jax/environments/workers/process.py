"""The pool's handle of a worker process: starts it, exchanges messages, and ends it with its game."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from limae_jax.environments.workers.messages import DONE, Command, Failed, Task, receive, send

# Seconds that a worker and its game get to end before both are killed. pysc2 kills StarCraft II after 3 s.
GRACE_S = 5.0
_LAST_LINES = 5
_LONGEST_LINE = 200

# A fresh interpreter. Not a fork, because jax has threads; not multiprocessing's spawn, which would import the main
# script, and with it jax, again.
_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from limae_jax.environments.workers.worker import main; main({descriptor})"
)


class WorkerProcess:
    """A worker process. It waits for a command after `start` and after every answer."""

    def __init__(self, task: Task):
        """Stores the task; `start` starts the process."""
        self._task = task
        self._log = task.folder / f"worker_{task.worker}.log"
        self._process: subprocess.Popen | None = None
        self._connection: Connection | None = None
        self._patience_s = self._deadline = 0.0

    def start(self, patience_s: float) -> None:
        """Starts the process; its first message contains the sizes of its game.

        Args:
            patience_s: timeout in seconds.
        """
        temporary = self._task.folder / f"worker_{self._task.worker}"
        temporary.mkdir(exist_ok=True)
        self._connection, theirs = Pipe()
        program = _PROGRAM.format(path=sys.path, descriptor=theirs.fileno())
        with theirs, open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(), self._task.memory),
                # A process group of its own, which includes its game.
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)},
            )
        self._wait_at_most(patience_s)
        self._send(self._task)

    def tell(self, command: Command, patience_s: float) -> None:
        """Sends a command.

        Args:
            command: the command.
            patience_s: timeout in seconds.
        """
        self._wait_at_most(patience_s)
        self._send(command)

    def _send(self, message: Any) -> None:
        # `hear` detects a worker that has ended.
        with contextlib.suppress(OSError):
            send(self.connection, message)

    def _wait_at_most(self, patience_s: float) -> None:
        self._patience_s, self._deadline = patience_s, time.monotonic() + patience_s

    @property
    def connection(self) -> Connection:
        """Connection to the process."""
        if self._connection is None:
            raise RuntimeError("the worker process has not been started")
        return self._connection

    @property
    def seconds_left(self) -> float:
        """Seconds until the timeout; not below 0."""
        return max(0.0, self._deadline - time.monotonic())

    def hear(self) -> Any:
        """Returns the worker's message, once `ready`; `Failed` if the worker has ended or timed out."""
        try:
            if self.seconds_left > 0 or self.connection.poll():
                return receive(self.connection, DONE)
        except (EOFError, OSError):
            self.wait(GRACE_S)
            return Failed(f"the worker process ended ({_ending(self._process)})", is_gone=True)
        return Failed(f"no answer for {self._patience_s:.3g} s", is_gone=True)

    def last_lines(self) -> str:
        """Returns the last output lines of the worker and its game, joined to one line."""
        with contextlib.suppress(OSError):
            lines = [line.strip() for line in self._log.read_text("utf-8", "replace").splitlines()]
            return " | ".join(line[:_LONGEST_LINE] for line in [line for line in lines if line][-_LAST_LINES:])
        return ""

    def terminate(self) -> None:
        """Asks the worker to end; it closes its game first."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, timeout_s: float) -> None:
        """Waits up to `timeout_s` for the process to end."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)

    def kill(self) -> None:
        """Ends the worker and its game at once."""
        if self._process is not None:
            # The group may be empty already. Its number cannot belong to another process while the worker has a game:
            # the worker has not been waited for, unless it ended by itself.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._connection is not None:
            self._connection.close()


def _ending(process: subprocess.Popen | None) -> str:
    code = None if process is None else process.returncode
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def stop(workers: Iterable[WorkerProcess]) -> None:
    """Ends all processes and their games: gracefully within GRACE_S, else by force."""
    workers = list(workers)
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + GRACE_S
    for worker in workers:
        worker.wait(max(0.0, deadline - time.monotonic()))
    for worker in workers:
        worker.kill()


def ready(workers: dict[int, WorkerProcess]) -> list[int]:
    """Waits until a worker has sent a message, ended or timed out; returns the numbers of these workers."""
    poller, numbers = select.poll(), {}
    for number, worker in workers.items():
        numbers[worker.connection.fileno()] = number
        poller.register(worker.connection, select.POLLIN)
    spoken = poller.poll(1e3 * min(worker.seconds_left for worker in workers.values()))
    if spoken:
        return [numbers[descriptor] for descriptor, _ in spoken]
    return [number for number, worker in workers.items() if worker.seconds_left == 0]
