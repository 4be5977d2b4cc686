"""Weights & Biases. Offline use is the service's own setting, WANDB_MODE=offline."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

from limae_jax.errors import InputError
from limae_jax.metrics.schema import Row, seed_scalars

ID_FILE = "wandb_id.txt"


class WandbWriter:
    """Logs to one run there, which a resumed run continues; its id is kept in RUN_DIR/wandb_id.txt."""

    def __init__(self, run_dir: Path, project: str, settings: dict[str, Any] | None = None):
        try:
            import wandb
        except ImportError:
            raise InputError(
                "metrics.wandb=True: needs wandb; install it with pip install 'limae-jax[wandb]'"
            ) from None
        run_dir.mkdir(parents=True, exist_ok=True)
        place = run_dir.resolve()
        # A sweep's runs are <cell>/seeds_<first>_to_<last>.
        name = f"{place.parent.name}/{place.name}" if place.name.startswith("seeds_") else place.name
        self._run = wandb.init(
            project=project,
            name=name,
            id=_run_id(run_dir),
            resume="allow",
            reinit="create_new",  # several runs of a sweep are open at the same time
            dir=str(run_dir),
            config=settings,
        )
        # Groups of seeds train one after the other, so the steps start again: they are an axis, not the log's order.
        self._run.define_metric("*", step_metric="env_steps")

    def write(self, rows: list[Row]) -> None:
        """Adds one evaluation: one row a seed. What a killed run had logged comes again, with the same values."""
        env_steps, scalars = seed_scalars(rows)
        self._run.log({"env_steps": env_steps, **scalars})

    def close(self) -> None:
        """Waits until everything is sent."""
        self._run.finish()


def read_id(run_dir: Path) -> str | None:
    """The run's id there; None before it has one.

    Raises:
        InputError: it is none that this limae_jax wrote.
    """
    path = run_dir / ID_FILE
    if not path.exists():
        return None
    try:
        known = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        known = None
    if known is None or not re.fullmatch("[A-Za-z0-9_-]{0,64}", known):
        raise InputError(f"{path}: holds no id; put the file back from a copy, or remove it to log a new run there")
    return known or None


def _run_id(run_dir: Path) -> str:
    if known := read_id(run_dir):
        return known
    fresh = secrets.token_hex(4)
    (run_dir / ID_FILE).write_text(fresh + "\n", encoding="utf-8")
    return fresh
