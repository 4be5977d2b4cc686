"""TensorBoard event files, written with tensorboardX."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limae_jax.metrics.charts import Point


class TensorBoardWriter:
    """Writes to RUN_DIR/tensorboard, with tags such as `test_win_rate/seed_0` and `test_win_rate/mean`.

    Does not use tensorboardX's SummaryWriter: an error in its thread prints a traceback and then blocks forever.
    """

    def __init__(self, run_dir: Path):
        self._folder = run_dir / "tensorboard"
        self._file: Any = None

    def restart(self) -> bool:
        """Starts the log again: metrics.jsonl has all rows, but not those that a killed process wrote and lost."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("events.out.tfevents.*"):
            path.unlink()
        self._file = EventsWriter(str(self._folder / "events"))
        # Makes an open TensorBoard discard what it has read.
        self._add(step=0, session_log=SessionLog(status=SessionLog.START), make=Event)
        self._file.flush()
        return True

    def write(self, points: Sequence[Point]) -> None:
        """Adds points and flushes them to disk."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        for env_steps, scalars in points:
            for tag, value in scalars.items():
                self._add(step=env_steps, summary=scalar(tag, value), make=Event)
        self._file.flush()

    def _add(self, make: Any, **fields: Any) -> None:
        self._file.write_event(make(wall_time=time.time(), **fields))

    def add_video(self, env_steps: int, path: Path) -> None:
        """Does nothing: videos are not logged."""

    def close(self) -> None:
        """Closes the event file."""
        if self._file is not None:
            self._file.close()
            self._file = None
