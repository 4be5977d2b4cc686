"""Where metrics go beside metrics.jsonl."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Protocol

from limae_jax.config import MetricsConfig
from limae_jax.errors import InputError
from limae_jax.metrics.schema import Row

# Setting, which is also the name of the extra -> package.
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


class MetricsWriter(Protocol):
    """Takes the rows of one evaluation at a time."""

    def write(self, rows: list[Row]) -> None:
        """Adds one evaluation: one row a seed."""
        ...

    def close(self) -> None:
        """Sends what is left."""
        ...


def check_extras(config: MetricsConfig) -> None:
    """Checks that what the writers need is installed; quick, for nothing is imported.

    Raises:
        InputError: an extra is missing.
    """
    for name, package in _PACKAGES.items():
        # A folder of that name, such as wandb leaves behind, would be a package without an origin.
        if getattr(config, name) and getattr(importlib.util.find_spec(package), "origin", None) is None:
            fix = f"needs {package}; install it with pip install 'limae-jax[{name}]'"
            raise InputError(f"metrics.{name}=true: {fix}, or leave it out")


def make_writers(
    config: MetricsConfig,
    run_dir: Path,
    resume_env_steps: int | None = None,
    settings: dict[str, Any] | None = None,
) -> list[MetricsWriter]:
    """The writers that the configuration asks for.

    Args:
        config: what to write.
        run_dir: the run's directory; each writer keeps its files in there.
        resume_env_steps: if all seeds go on from one checkpoint, the most environment steps of a seed there: charts
            hide what was written after it. Otherwise None: that is drawn twice, with the same values.
        settings: of the run, shown beside the charts where the service can.

    Raises:
        InputError: an extra that a writer needs is not installed.
    """
    writers: list[MetricsWriter] = []
    if config.tensorboard:
        from limae_jax.metrics.tensorboard import TensorBoardWriter

        writers.append(TensorBoardWriter(Path(run_dir), resume_env_steps))
    if config.wandb:
        from limae_jax.metrics.wandb import WandbWriter

        writers.append(WandbWriter(Path(run_dir), config.wandb_project, settings))
    return writers
