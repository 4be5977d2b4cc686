"""Weights & Biases. Offline use is the service's own setting, WANDB_MODE=offline."""

from __future__ import annotations

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


def _run_id(run_dir: Path) -> str:
    path = run_dir / ID_FILE
    if path.is_file() and (known := path.read_text(encoding="utf-8").strip()):
        return known
    fresh = secrets.token_hex(4)
    path.write_text(fresh + "\n", encoding="utf-8")
    return fresh
