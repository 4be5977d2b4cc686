"""Composes the cells of a sweep from command-line overrides, each with the checked settings of a run."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

from limae_jax.checks import show
from limae_jax.config import TrainConfig
from limae_jax.config.compose import experiment_sweep, load_cell
from limae_jax.config.overrides import Choices, read_choices
from limae_jax.config.sections import ChosenNames, unknown_setting
from limae_jax.config.sweep import SweepConfig
from limae_jax.errors import InputError

# Composing and checking a cell takes about 30 ms.
MAX_CELLS = 1000
# A folder's name has at most 255 bytes.
_LONGEST_NAME = 200


class GridCell(NamedTuple):
    """One combination of the axes' choices, with all seeds of the sweep.

    Attributes:
        name: of its folder: the overrides that distinguish it from the other cells.
        config: its settings, without `run.dir`.
    """

    name: str
    config: TrainConfig


class Sweep(NamedTuple):
    """A parsed `limae-jax sweep` command.

    Attributes:
        settings: of the sweep, with `dir` set.
        cells: in the order of the axes, the last one changing fastest.
    """

    settings: SweepConfig
    cells: tuple[GridCell, ...]


def load_sweep(overrides: Sequence[str]) -> Sweep:
    """Composes the settings of all cells.

    Args:
        overrides: as for `load_config`, and `sweep.*`. An override with several values (`system=qmix,vdn`,
            `replay.batch_rows=range(16,65,16)`) is an axis, or selects choices of an axis of the experiment.

    Raises:
        InputError: an override or a cell is not valid.
    """
    # As everywhere, the last of several overrides of a setting wins.
    given = list({_key(choices[0]): choices for choices in map(read_choices, overrides)}.values())
    experiment = next((choices[0] for choices in given if _key(choices[0]) == "experiment" and len(choices) == 1), None)
    own = dict(_sweep_setting(choices) for choices in given if _key(choices[0]).startswith("sweep."))
    given = [choices for choices in given if not _key(choices[0]).startswith("sweep.")]
    _check_run_settings(given)
    name = experiment.partition("=")[2] if experiment else "sweep"
    stored = experiment_sweep(experiment) if experiment else {}
    settings = SweepConfig(**{**stored, **own})
    settings = replace(settings, dir=settings.dir or f"runs/{name}")
    axes, given = _narrowed([_words(axis) for axis in settings.axes], given)
    axes += [[(choice,) for choice in choices] for choices in given if len(choices) > 1]
    fixed = [choices[0] for choices in given if len(choices) == 1]
    count = math.prod(map(len, axes))
    if count > MAX_CELLS:
        raise InputError(f"sweep: has {count} cells, which must not exceed {MAX_CELLS}; remove some choices")
    cells = [_cell(fixed, [word for choice in chosen for word in choice]) for chosen in itertools.product(*axes)]
    for cell_name, times in Counter(cell.name for cell in cells).items():
        if times > 1:
            raise InputError(f"sweep.axes: two cells are {cell_name}; list each combination only once")
    first: dict[TrainConfig, str] = {}
    for cell in cells:
        if (twin := first.setdefault(cell.config, cell.name)) != cell.name:
            raise InputError(f"cells {twin} and {cell.name}: have the same settings; remove one of them")
    return Sweep(settings, tuple(cells))


def _key(override: str) -> str:
    return override.partition("=")[0]


def _joined(choices: Sequence[str]) -> str:
    return f"{_key(choices[0])}={','.join(choice.partition('=')[2] for choice in choices)}"


def _sweep_setting(choices: Sequence[str]) -> tuple[str, Any]:
    name = _key(choices[0])
    known = [f"sweep.{item.name}" for item in fields(SweepConfig)]
    if name not in known:
        raise unknown_setting(name, choices[0].partition("=")[2], ChosenNames(), known)
    if len(choices) > 1:
        raise InputError(f"{name}: takes one value, not several")
    return name.removeprefix("sweep."), read_choices(choices[0]).value


def _check_run_settings(given: Sequence[Choices]) -> None:
    """Checks that all cells have the same seeds and length, and that the sweep chooses their directories."""
    for choices in given:
        if _key(choices[0]) in ("run.dir", "run.name"):
            raise InputError(f"{show(choices[0])}: a sweep names its runs itself; choose sweep.dir")
        if len(choices) > 1 and _key(choices[0]) == "experiment":
            raise InputError(f"{show(_joined(choices))}: a sweep takes one experiment; start a sweep for each")
        if len(choices) > 1 and _key(choices[0]).startswith("run."):
            raise InputError(f"{_key(choices[0])}: takes one value, the same for all cells of a sweep")


def _words(axis: Sequence[str]) -> list[tuple[str, ...]]:
    """Parses an axis of `sweep.axes` into choices, each a tuple of overrides as `read_choices` writes them."""
    words = [[read_choices(word) for word in choice.split()] for choice in axis]
    for choice, read in zip(axis, words, strict=True):
        if not read or any(len(values) > 1 for values in read):
            raise InputError(f"sweep.axes={show(choice)}: a choice is one or more overrides, each with one value")
    return [tuple(values[0] for values in read) for read in words]


def _narrowed(
    axes: list[list[tuple[str, ...]]], given: Sequence[Choices]
) -> tuple[list[list[tuple[str, ...]]], list[Choices]]:
    """Returns the axes with only the choices that the command line selects, and the remaining overrides."""
    keys = [{_key(word) for words in axis for word in words} for axis in axes]
    left, picking, narrowed = [], [], axes
    for choices in given:
        key = _key(choices[0])
        if key.startswith("run.") or not any(key in of_axis for of_axis in keys):
            left.append(choices)
            continue
        picking.append(choices)
        narrowed = [
            [words for words in axis if key not in of_axis or set(words) & set(choices)]
            for axis, of_axis in zip(narrowed, keys, strict=True)
        ]
    # After all are applied, so that the order of the command line does not matter.
    for choices in picking:
        _check_all_there(choices, axes, narrowed)
    return narrowed, left


def _check_all_there(
    choices: Sequence[str], axes: list[list[tuple[str, ...]]], narrowed: list[list[tuple[str, ...]]]
) -> None:
    """Checks that every selected choice is in the narrowed axes."""
    left = {word for axis in narrowed for words in axis for word in words}
    there = dict.fromkeys(word for axis in axes for words in axis for word in words if _key(word) == _key(choices[0]))
    for choice in choices:
        if choice not in there:
            raise InputError(f"{show(choice)}: not in the sweep, which has {', '.join(there)}")
        if choice not in left:
            raise InputError(f"{show(choice)}: the sweep has it, but not together with the other choices; remove it")


def _cell(fixed: Sequence[str], words: Sequence[str]) -> GridCell:
    apart = sorted(word for word in words if not word.startswith("run."))
    name = ",".join(apart).replace("/", "_")
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    # `run.*` overrides of the command line win over the experiment's axes.
    of_all_runs = [text for text in fixed if text.startswith("run.")]
    try:
        config = load_cell([*fixed, *words, *of_all_runs])
    except InputError as error:
        raise InputError(f"cell {name}: {error}" if name else str(error)) from None
    return GridCell(name or f"{config.system.name}_{config.env.scenario}", config)
