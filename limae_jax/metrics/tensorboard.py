"""TensorBoard event files, through tensorboardX."""

from __future__ import annotations

from pathlib import Path

from limae_jax.errors import InputError
from limae_jax.metrics.schema import Row, seed_scalars


class TensorBoardWriter:
    """Writes to RUN_DIR/tensorboard, with tags such as `test_win_rate/seed_0` and `test_win_rate/mean`."""

    def __init__(self, run_dir: Path, resume_env_steps: int | None = None):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise InputError(
                "metrics.tensorboard=True: needs tensorboardX; install it with pip install 'limae-jax[tensorboard]'"
            ) from None
        # What a killed process wrote after its last checkpoint is written again.
        purge = None if resume_env_steps is None else resume_env_steps + 1
        self._writer = SummaryWriter(str(run_dir / "tensorboard"), purge_step=purge)

    def write(self, rows: list[Row]) -> None:
        """Adds one evaluation: one row a seed."""
        env_steps, scalars = seed_scalars(rows)
        for tag, value in scalars.items():
            self._writer.add_scalar(tag, value, env_steps)
        self._writer.flush()

    def close(self) -> None:
        """Closes the event file."""
        self._writer.close()
