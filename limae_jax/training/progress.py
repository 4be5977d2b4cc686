"""What the host knows of a group of seeds, and who is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from limae_jax.errors import InputError
from limae_jax.metrics.schema import Row
from limae_jax.metrics.waiting import TimeLeft


@dataclass
class Progress:
    """What the host knows of a group; stored with each checkpoint.

    Attributes:
        iteration: the clock.
        wall_s: seconds of work so far, over all sessions, compiling included.
        save_s: seconds of it spent on saving.
        best_score: of each seed, the best evaluation so far: win rate, or return where nothing is won.
        best_iteration: of each seed, when that was.
        meter: training since the last evaluation, see `Meter.state`.
        evaluations: made so far; None if a checkpoint of before they were counted does not say.
    """

    iteration: int
    wall_s: float
    save_s: float
    best_score: list[float | None]
    best_iteration: list[int]
    meter: dict[str, Any] | None
    evaluations: int | None = None


def progress_of(host: dict[str, Any], num_seeds: int, directory: Path) -> Progress:
    """What a checkpoint says of a group's progress.

    Args:
        host: of the checkpoint.
        num_seeds: of the group.
        directory: of the group, for the message.

    Raises:
        InputError: a field is missing, or is not what is written there.
    """
    try:
        progress = Progress(**host)
        is_number = {name: isinstance(getattr(progress, name), int | float) for name in ("wall_s", "save_s")}
        sound = {
            "iteration": isinstance(progress.iteration, int),
            **is_number,
            "best_score": len(progress.best_score) == num_seeds,
            "best_iteration": len(progress.best_iteration) == num_seeds,
            "meter": progress.meter is None or isinstance(progress.meter, dict),
            "evaluations": progress.evaluations is None or isinstance(progress.evaluations, int),
        }
        problem = next((name for name, is_sound in sound.items() if not is_sound), None)
    except TypeError as error:
        problem = str(error).partition("__init__() ")[2] or str(error)
    if problem:
        raise InputError(f"checkpoints={directory}: host is damaged ({problem}); put the folder back from a copy")
    return progress


class Observer(Protocol):
    """Told of a group's progress."""

    def progress(
        self, phase: str, env_steps: np.ndarray, env_steps_per_s: float, loss: float | None, left: TimeLeft | None
    ) -> None:
        """After each chunk; `env_steps` [S] of the group's seeds."""

    def evaluation(self, rows: list[Row]) -> None:
        """After each evaluation: one row a seed."""

    def checkpoint(self) -> None:
        """There is a checkpoint to go on from."""

    def warning(self, text: str) -> None:
        """Something that the user should know."""
