"""Where metrics go beside metrics.jsonl. What goes wrong there is told, and does not end a run."""

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
    """Takes points for charts."""

    def restart(self) -> bool:
        """Forgets what it has, where that can be; returns whether all points are to come again."""
        ...

    def write(self, points: Sequence[Point]) -> None:
        """Adds points."""
        ...

    def add_video(self, env_steps: int, path: Path) -> None:
        """Adds a video, where it can be shown."""
        ...

    def close(self) -> None:
        """Sends what is left."""
        ...


def check_extras(config: MetricsConfig) -> None:
    """Checks that the writers can work, so that nothing is begun that they would stop.

    Raises:
        InputError: an extra is missing, or nobody is logged in.
    """
    for name, package in _PACKAGES.items():
        # A folder of that name, such as wandb leaves behind, would be a package without an origin.
        if getattr(config, name) and getattr(importlib.util.find_spec(package), "origin", None) is None:
            fix = f"install it with pip install 'limae-jax[{name}]', or go on with {_without(name, config)}"
            raise InputError(f"metrics.{name}=true: needs {package}; {fix}")
    if config.wandb:
        check_login(_without("wandb", config))


def _without(name: str, config: MetricsConfig) -> str:
    """The settings that leave a writer out, at the start of a run or on resuming it."""
    video = " metrics.wandb_video=false" if name == "wandb" and config.wandb_video else ""
    return f"metrics.{name}=false{video}"


class Writers:
    """All writers of a run. One that fails is told of and left out from then on."""

    def __init__(self, config: TrainConfig, warn: Callable[[str], None]):
        """Writes nothing yet.

        Args:
            config: of the run.
            warn: shows a line.
        """
        self._config, self._warn = config, warn
        self._writers: dict[str, MetricsWriter] | None = None
        self._charts = Charts(config.seeds)

    @property
    def is_open(self) -> bool:
        """Whether they write."""
        return self._writers is not None

    def go_on_from(self, rows: Sequence[Row]) -> None:
        """Has the charts show these rows and no others; opens the writers the first time.

        Args:
            rows: all that the run keeps of what it did before.
        """
        if self._writers is None:
            self._writers = self._open()
        self._charts = Charts(self._config.seeds)
        points = self._charts.add(rows)
        self._tell(lambda writer: writer.write(points) if writer.restart() else None)

    def write(self, rows: Sequence[Row]) -> None:
        """Adds one evaluation: one row a seed."""
        points = self._charts.add(rows)
        self._tell(lambda writer: writer.write(points))

    def add_video(self, env_steps: int, path: Path) -> None:
        """Adds a video."""
        self._tell(lambda writer: writer.add_video(env_steps, path))

    def close(self) -> None:
        """Closes all."""
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
            except Exception as error:  # of a network, a disk or a service: none of them is the run
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
