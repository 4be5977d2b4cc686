"""Host-side progress of a group of seeds, and the interface of its observers."""

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
    """Host-side progress of a group, stored with each checkpoint.

    Attributes:
        iteration: the clock.
        wall_s: seconds of work so far, over all sessions, compiling included.
        save_s: seconds of `wall_s` spent on saving.
        best_score: best evaluation of each seed so far: win rate, or return in environments without wins.
        best_iteration: iteration of each seed's best score.
        meter: training since the last evaluation, see `Meter.state`.
        evaluations: number of evaluations so far; None in checkpoints from before they were counted.
    """

    iteration: int
    wall_s: float
    save_s: float
    best_score: list[float | None]
    best_iteration: list[int]
    meter: dict[str, Any] | None
    evaluations: int | None = None


def progress_of(host: dict[str, Any], num_seeds: int, directory: Path) -> Progress:
    """Reads a group's progress from a checkpoint.

    Args:
        host: host part of the checkpoint.
        num_seeds: of the group.
        directory: of the group, for the message.

    Raises:
        InputError: a field is missing or invalid.
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
    """The interface of an observer of a group's progress."""

    def progress(
        self, phase: str, env_steps: np.ndarray, env_steps_per_s: float, loss: float | None, left: TimeLeft | None
    ) -> None:
        """Called after each chunk; `env_steps` [S] are those of the group's seeds."""

    def evaluation(self, rows: list[Row]) -> None:
        """Called after each evaluation with one row per seed."""

    def checkpoint(self) -> None:
        """Called after each save."""

    def warning(self, text: str) -> None:
        """Called with a warning for the user."""
