"""Metrics writers other than metrics.jsonl. Their errors are shown as warnings and do not end a run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from limae_jax.checks import show
from limae_jax.config import MetricsConfig, TrainConfig
from limae_jax.config.text import to_dict
from limae_jax.errors import InputError
from limae_jax.metrics.charts import Charts, Point
from limae_jax.metrics.schema import Row
from limae_jax.metrics.wandb import check_login

# Setting, which is also the name of the extra -> package.
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


class MetricsWriter(Protocol):
    """The interface of a writer of chart points."""

    def restart(self) -> bool:
        """Clears the log where possible; returns whether all points must be written again."""
        ...

    def write(self, points: Sequence[Point]) -> None:
        """Adds points."""
        ...

    def add_video(self, env_steps: int, path: Path) -> None:
        """Adds a video if the writer supports videos."""
        ...

    def close(self) -> None:
        """Writes what is left and closes the log."""
        ...


def check_extras(config: MetricsConfig) -> None:
    """Checks, before a run starts, that its writers can work.

    Raises:
        InputError: an extra is missing, or nobody is logged in.
    """
    for name, package in _PACKAGES.items():
        # A folder of that name, such as wandb leaves behind, counts as a package without an origin.
        if getattr(config, name) and getattr(importlib.util.find_spec(package), "origin", None) is None:
            fix = f"install it with pip install 'limae-jax[{name}]', or continue with {_without(name, config)}"
            raise InputError(f"metrics.{name}=true: needs {package}; {fix}")
    if config.wandb:
        check_login(_without("wandb", config))


def _without(name: str, config: MetricsConfig) -> str:
    """Returns the settings that turn a writer off, when a run is started or resumed."""
    video = " metrics.wandb_video=false" if name == "wandb" and config.wandb_video else ""
    return f"metrics.{name}=false{video}"


class Writers:
    """All writers of a run. A writer that fails causes a warning and is left out from then on."""

    def __init__(self, config: TrainConfig, warn: Callable[[str], None]):
        """Opens no writer yet.

        Args:
            config: settings of the run.
            warn: shows a warning.
        """
        self._config, self._warn = config, warn
        self._writers: dict[str, MetricsWriter] | None = None
        self._charts = Charts(config.seeds)

    @property
    def is_open(self) -> bool:
        """Whether the writers are open."""
        return self._writers is not None

    def go_on_from(self, rows: Sequence[Row]) -> None:
        """Restarts the charts from these rows; opens the writers the first time.

        Args:
            rows: all rows that the run keeps from before.
        """
        if self._writers is None:
            self._writers = self._open()
        self._charts = Charts(self._config.seeds)
        points = self._charts.add(rows)
        self._tell(lambda writer: writer.write(points) if writer.restart() else None)

    def write(self, rows: Sequence[Row]) -> None:
        """Adds one evaluation: one row per seed."""
        points = self._charts.add(rows)
        self._tell(lambda writer: writer.write(points))

    def add_video(self, env_steps: int, path: Path) -> None:
        """Adds a video."""
        self._tell(lambda writer: writer.add_video(env_steps, path))

    def close(self) -> None:
        """Closes all writers."""
        self._tell(lambda writer: writer.close())
        self._writers = {}

    def _open(self) -> dict[str, MetricsWriter]:
        opened: dict[str, MetricsWriter] = {}
        for name, make in _MAKERS.items():
            if getattr(self._config.metrics, name):
                try:
                    opened[name] = make(self._config)
                except Exception as error:
                    self._lose(name, error)
        return opened

    def _tell(self, what: Callable[[MetricsWriter], Any]) -> None:
        for name, writer in list((self._writers or {}).items()):
            try:
                what(writer)
            except Exception as error:  # a network, disk or service error must not end the run
                del self._writers[name]  # type: ignore[union-attr]
                self._lose(name, error)

    def _lose(self, name: str, error: Exception) -> None:
        what = show(f"{type(error).__name__}: {error}")
        self._warn(f"metrics.{name} failed and is left out from here on ({what}); metrics.jsonl has everything")


def _make_tensorboard(config: TrainConfig) -> MetricsWriter:
    from limae_jax.metrics.tensorboard import TensorBoardWriter

    return TensorBoardWriter(Path(config.run_dir))


def _make_wandb(config: TrainConfig) -> MetricsWriter:
    from limae_jax.metrics.wandb import WandbWriter

    return WandbWriter(Path(config.run_dir), config.metrics, to_dict(config))


_MAKERS: dict[str, Callable[[TrainConfig], MetricsWriter]] = {"tensorboard": _make_tensorboard, "wandb": _make_wandb}
