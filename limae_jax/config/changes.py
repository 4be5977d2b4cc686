"""What two runs differ in, and what may change when one goes on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from limae_jax.checks import one_line, show
from limae_jax.config import TrainConfig
from limae_jax.config.fitting import check_fit
from limae_jax.config.text import flat
from limae_jax.errors import InputError

# How a run that has none gets another place.
ELSEWHERE = "run.name or run.dir"


# Where a run lives is not part of what it does, so a run directory may be moved.
_LOCATION = ("run.name", "run.dir")


# What changes no result: a run that goes on has it as it is asked for now. A name that ends in a dot is a section.
_CHANGES_NO_RESULT = (
    "checkpoint.every_s",
    "checkpoint.keep_replay",
    "metrics.",
    "run.compilation_cache",
    "run.max_memory_gib",
)


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Settings that differ, each as `section.field: old -> new`."""
    return [f"{name}: {before} -> {after}" for name, before, after in changes(old, new)]


def check_continuation(stored: TrainConfig, wanted: TrainConfig, run_dir: Path, elsewhere: str = ELSEWHERE) -> None:
    """Checks that a run can go on under new settings: it may move, be extended, or change what changes no result.

    Args:
        stored, wanted: settings of the run, and those asked for.
        run_dir: of the run.
        elsewhere: the setting that puts a new run into another place.

    Raises:
        InputError: another setting differs, or the run would be shorter.
    """
    others = [change for change in changes(stored, wanted) if not may_change(change[0])]
    if stored.run.total_env_steps < wanted.run.total_env_steps:
        others = [change for change in others if change[0] != "run.total_env_steps"]
    if others:
        listed = ", ".join(f"{name}: {before} -> {after}" for name, before, after in others)
        fix = f"only a larger run.total_env_steps, and what changes no result, can change; choose another {elsewhere}"
        raise InputError(f"RUN_DIR={run_dir}: holds a run with other settings ({listed}); {fix} for a new run")


def may_change(name: str) -> bool:
    """Whether a setting says only where a run lives, or changes no result."""
    return name in (*_LOCATION, *_CHANGES_NO_RESULT) or f"{name.partition('.')[0]}." in _CHANGES_NO_RESULT


def check_stays(overrides: Iterable[str]) -> None:
    """Checks that a run is resumed where it is.

    Raises:
        InputError: one of the overrides is of its place.
    """
    for text in overrides:
        if text.partition("=")[0].strip() in _LOCATION:
            raise InputError(f"{show(text)}: a run is resumed where it is; leave this out, or move its folder first")


def check_evaluation(stored: TrainConfig, wanted: TrainConfig) -> None:
    """Checks that a trained team can be evaluated under new settings, as far as can be told without the game.

    Raises:
        InputError: more changed than the game and its evaluation, or the team does not fit the game.
    """
    changed = [line for line in differences(stored, wanted) if not line.startswith(("env.", "evaluation."))]
    if changed:
        raise InputError(f"{changed[0]}: an evaluation can change env.* and evaluation.* only")
    check_fit(stored.env, wanted.env)


def changes(old: TrainConfig, new: TrainConfig) -> list[tuple[str, str, str]]:
    """Settings that differ: section.field, the old value, the new one, as one would type them."""
    # What only one of them has comes with another env.name or system.name, which says enough.
    before, after = flat(old), flat(new)
    changed = [name for name in before if name in after and before[name] != after[name]]
    return [(name, one_line(before[name]), one_line(after[name])) for name in changed]
