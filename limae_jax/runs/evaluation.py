"""Settings of an evaluation: those of the run, and those of the game it is evaluated in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limae_jax.config import TrainConfig
from limae_jax.config.changes import check_evaluation
from limae_jax.config.compose import override_config
from limae_jax.runs.stored import read_run


def plan_evaluation(run_dir: Path, overrides: Sequence[str]) -> tuple[TrainConfig, TrainConfig]:
    """Composes the settings of an evaluation and checks them as far as possible without the game.

    Args:
        run_dir: of the run.
        overrides: of `env.*` and `evaluation.*`. A team evaluated in SMAC instead of SMAX, or in another profile of
            SMAX, stays on its map unless `env.scenario` is overridden.

    Returns:
        The run's own settings and those of its evaluation.

    Raises:
        InputError: there is no such run, or it cannot be evaluated with these overrides.
    """
    stored = read_run(run_dir)
    config = override_config(stored, overrides)
    families = {stored.env.name, config.env.name}
    if families <= {"smax", "smac"} and not any(text.startswith("env.scenario=") for text in overrides):
        config = override_config(stored, [*overrides, f"env.scenario={stored.env.scenario}"])
    check_evaluation(stored, config)
    return stored, config
