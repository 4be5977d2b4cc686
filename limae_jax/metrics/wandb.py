"""Logging to Weights & Biases. Set WANDB_MODE=offline to log offline."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limae_jax.checks import one_line, shorten
from limae_jax.config import MetricsConfig
from limae_jax.errors import InputError
from limae_jax.metrics.charts import Point

ID_FILE = "wandb_id.txt"
# Limit of the service.
_LONGEST_GROUP = 128
# The end of a run's name that tells its seeds.
_SEEDS = re.compile(r"[ _.,-]?seeds?[ _=-]?\d+([_-](to_)?\d+)?$")


def check_login(without: str) -> None:
    """Checks that the user is logged in to wandb, without network access.

    Args:
        without: the settings that turn wandb off.

    Raises:
        InputError: nobody is logged in, or wandb rejects its own settings.
    """
    import wandb

    try:
        # Only the online modes need a login.
        is_ready = wandb.setup().settings.mode not in ("online", "run", "shared") or wandb.login(
            prompt=False, verify=False
        )
    except Exception as error:
        problem = shorten(one_line(error), 120)
        raise InputError(f"metrics.wandb=true: wandb refuses its settings ({problem}); set {without}") from None
    if not is_ready:
        fix = "run `wandb login`, or set WANDB_API_KEY or WANDB_MODE=offline, or continue with"
        raise InputError(f"metrics.wandb=true: nobody is logged in to Weights & Biases; {fix} {without}")


class WandbWriter:
    """Logs to one wandb run, which a resumed run continues; its id is stored in RUN_DIR/wandb_id.txt."""

    def __init__(self, run_dir: Path, config: MetricsConfig, settings: dict[str, Any] | None = None):
        import wandb

        run_dir.mkdir(parents=True, exist_ok=True)
        self._is_new = read_id(run_dir) is None
        self._sent: set[tuple[int, str]] = set()
        name, group = _name_and_group(run_dir.resolve())
        self._run = wandb.init(
            project=config.wandb_project,
            entity=config.wandb_entity,
            name=name,
            group=shorten(config.wandb_group or group, _LONGEST_GROUP),
            tags=list(config.wandb_tags) or None,
            id=_run_id(run_dir),
            resume="allow",
            reinit="create_new",  # several runs of a sweep are open at the same time
            dir=str(run_dir),
            config=settings,
        )
        # Groups of seeds train one after the other, so env_steps starts again: it is an axis, not the order of the log.
        self._run.define_metric("*", step_metric="env_steps")

    def restart(self) -> bool:
        """Returns whether the log is empty: a new log, or an offline one, which replaces others on `wandb sync`.

        The service cannot delete points. Those that a killed run had sent are sent again, with the same values.
        """
        is_empty, self._is_new = self._is_new or self._run.offline, False
        return is_empty

    def write(self, points: Sequence[Point]) -> None:
        """Adds points, each once; points that are trained again after a stop have the same values."""
        for env_steps, scalars in points:
            # The first tag tells the seed.
            if (place := (env_steps, next(iter(scalars)))) not in self._sent:
                self._sent.add(place)
                self._run.log({"env_steps": env_steps, **scalars})

    def add_video(self, env_steps: int, path: Path) -> None:
        """Adds a GIF under the name `battle`."""
        import wandb

        self._run.log({"env_steps": env_steps, "battle": wandb.Video(str(path), format="gif")})

    def close(self) -> None:
        """Waits until all data is sent."""
        self._run.finish()


def _name_and_group(place: Path) -> tuple[str, str]:
    """Returns the name of the run, and the name of the group of runs that differ only in their seeds."""
    # A sweep's runs are <cell>/seeds_<first>_to_<last>.
    if place.name.startswith("seeds_"):
        return f"{place.parent.name}/{place.name}", place.parent.name
    return place.name, _SEEDS.sub("", place.name) or place.name


def read_id(run_dir: Path) -> str | None:
    """Reads the wandb id of a run; None if it has none yet.

    Raises:
        InputError: the file holds no valid id.
    """
    path = run_dir / ID_FILE
    if not path.exists():
        return None
    try:
        known = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        known = None
    if known is None or not re.fullmatch("[A-Za-z0-9_-]{0,64}", known):
        raise InputError(f"{path}: holds no valid id; put the file back from a copy, or remove it to log a new run")
    return known or None


def _run_id(run_dir: Path) -> str:
    if known := read_id(run_dir):
        return known
    fresh = secrets.token_hex(4)
    (run_dir / ID_FILE).write_text(fresh + "\n", encoding="utf-8")
    return fresh
