"""TensorBoard event files, through tensorboardX."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limae_jax.metrics.charts import Point


class TensorBoardWriter:
    """Writes to RUN_DIR/tensorboard, with tags such as `test_win_rate/seed_0` and `test_win_rate/mean`.

    Not through tensorboardX's SummaryWriter: an error in its thread is a traceback, and then a wait without an end.
    """

    def __init__(self, run_dir: Path):
        self._folder = run_dir / "tensorboard"
        self._file: Any = None

    def restart(self) -> bool:
        """Begins the log anew: metrics.jsonl has all of it, without what a killed process wrote and lost."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("events.out.tfevents.*"):
            path.unlink()
        self._file = EventsWriter(str(self._folder / "events"))
        # A TensorBoard that is open forgets what it has read.
        self._add(step=0, session_log=SessionLog(status=SessionLog.START), make=Event)
        self._file.flush()
        return True

    def write(self, points: Sequence[Point]) -> None:
        """Adds points; they are on the disk when it returns."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        for env_steps, scalars in points:
            for tag, value in scalars.items():
                self._add(step=env_steps, summary=scalar(tag, value), make=Event)
        self._file.flush()

    def _add(self, make: Any, **fields: Any) -> None:
        self._file.write_event(make(wall_time=time.time(), **fields))

    def add_video(self, env_steps: int, path: Path) -> None:
        """It shows none."""

    def close(self) -> None:
        """Closes the event file."""
        if self._file is not None:
            self._file.close()
            self._file = None
