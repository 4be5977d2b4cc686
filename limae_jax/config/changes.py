"""Differences between the settings of two runs, and which settings may change when a run continues."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from limae_jax.checks import one_line, show
from limae_jax.config import TrainConfig
from limae_jax.config.fitting import check_fit
from limae_jax.config.text import flat
from limae_jax.errors import InputError

# The settings that give a new run another directory.
ELSEWHERE = "run.name or run.dir"


# The location of a run does not affect its results, so a run directory may be moved.
_LOCATION = ("run.name", "run.dir")


# Settings that change no result: a continued run takes their new values. A name that ends in a dot is a section.
_CHANGES_NO_RESULT = (
    "checkpoint.every_s",
    "checkpoint.keep_replay",
    "metrics.",
    "run.compilation_cache",
    "run.max_memory_gib",
)


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Returns the settings that differ, each as `section.field: old -> new`."""
    return [f"{name}: {before} -> {after}" for name, before, after in changes(old, new)]


def check_continuation(stored: TrainConfig, wanted: TrainConfig, run_dir: Path, elsewhere: str = ELSEWHERE) -> None:
    """Checks that a run can continue with new settings: moved, extended, or with changes that affect no result.

    Args:
        stored, wanted: settings of the run, and the requested settings.
        run_dir: directory of the run.
        elsewhere: the setting that selects another directory for a new run.

    Raises:
        InputError: another setting differs, or the run would be shorter.
    """
    others = [change for change in changes(stored, wanted) if not may_change(change[0])]
    if stored.run.total_env_steps < wanted.run.total_env_steps:
        others = [change for change in others if change[0] != "run.total_env_steps"]
    if others:
        listed = ", ".join(f"{name}: {before} -> {after}" for name, before, after in others)
        fix = f"only a larger run.total_env_steps or settings that change no result can differ; set another {elsewhere}"
        raise InputError(f"RUN_DIR={run_dir}: holds a run with other settings ({listed}); {fix} for a new run")


def may_change(name: str) -> bool:
    """Whether a setting only locates a run or affects no result."""
    return name in (*_LOCATION, *_CHANGES_NO_RESULT) or f"{name.partition('.')[0]}." in _CHANGES_NO_RESULT


def check_stays(overrides: Iterable[str]) -> None:
    """Checks that no override moves a run that is resumed.

    Raises:
        InputError: an override sets the run's name or directory.
    """
    for text in overrides:
        if text.partition("=")[0].strip() in _LOCATION:
            raise InputError(f"{show(text)}: a run is resumed in place; leave this out, or move its directory first")


def check_evaluation(stored: TrainConfig, wanted: TrainConfig) -> None:
    """Checks that a trained team can be evaluated with new settings, as far as possible without building the game.

    Raises:
        InputError: a setting outside env and evaluation changed, or the team does not fit the game.
    """
    changed = [line for line in differences(stored, wanted) if not line.startswith(("env.", "evaluation."))]
    if changed:
        raise InputError(f"{changed[0]}: an evaluation can change env.* and evaluation.* only")
    check_fit(stored.env, wanted.env)


def changes(old: TrainConfig, new: TrainConfig) -> list[tuple[str, str, str]]:
    """Returns the settings that differ as (section.field, old value, new value), in command-line syntax."""
    # Settings that only one run has follow from a different env.name or system.name, which is reported.
    before, after = flat(old), flat(new)
    changed = [name for name in before if name in after and before[name] != after[name]]
    return [(name, one_line(before[name]), one_line(after[name])) for name in changed]
