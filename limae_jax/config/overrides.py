"""Parses one command-line override with Hydra's grammar, and checks what can be checked without the other overrides."""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
import typing
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Override,
    OverrideType,
    Quote,
    QuotedString,
    RangeSweep,
)
from hydra.errors import HydraException

from limae_jax.checks import show
from limae_jax.config.sections import every_class
from limae_jax.config.sweep import SweepConfig
from limae_jax.errors import InputError
from limae_jax.registry import REGISTERED, check_name

GROUPS = ("env", "system", "mixer", "masking", "experiment")

# Beyond these, Hydra's parser takes seconds and overflows the stack.
_LONGEST, _DEEPEST = 4000, 32
_MOST_VALUES = 1000
# Characters with a meaning in Hydra's grammar; unknown characters are taken literally.
_SPECIAL = set("\"'()[]{},$\\")


def config_dir() -> Path:
    """Returns the folder of YAML files: inside an installed package, or beside it in a checkout.

    Raises:
        InputError: neither folder exists.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / "train.yaml").is_file():
            return folder
    raise InputError(f"configs: not found in {package} or beside it; install limae-jax again")


def options(group: str) -> list[str]:
    """Returns the choices of a group, such as the names of all experiments, including those of plug-ins."""
    files = (path.stem for path in (config_dir() / group).glob("*.yaml"))
    return sorted([*files, *REGISTERED.get(group, ())])


class Choices(list[str]):
    """The single-valued overrides that an override with several values expands to.

    Attributes:
        value: the value, if there is only one.
    """

    value: Any = None


def read_choices(text: str) -> Choices:
    """Reads an override that may have several values: `system=qmix,vdn`, `choice(...)`, `range(...)`.

    Returns:
        Overrides with one value each; equal overrides have equal text.

    Raises:
        InputError: the override cannot be read, or its values cannot be listed.
    """
    override = parse_override(text, may_sweep=True)
    if not override.is_sweep_override():
        choices = Choices([f"{override.key_or_group}={override.get_value_element_as_str()}"])
        choices.value = override.value()
        return choices
    _check_range(override)
    try:
        values = list(override.sweep_string_iterator())
    except (HydraException, ValueError):
        raise InputError(f"{show(text)}: its values cannot be listed; write them with commas or range()") from None
    if not values:
        raise InputError(f"{show(text)}: has no values; a range excludes its second number")
    return Choices(f"{override.key_or_group}={value}" for value in values)


def _check_range(override: Override) -> None:
    values = override.value()
    if not isinstance(values, RangeSweep):
        return
    start, stop, step = values.start or 0, values.stop or 0, values.step
    # `math.isfinite` raises OverflowError for integers beyond the range of floats.
    is_finite = all(abs(number) <= sys.float_info.max for number in (start, stop, step)) and step != 0
    fix = f"a range needs finite numbers, a non-zero step and at most {_MOST_VALUES} values"
    if not is_finite or abs(stop - start) > _MOST_VALUES * abs(step):
        raise InputError(f"{show(override.input_line)}: {fix}")


def parse_override(text: str, may_sweep: bool = False) -> Override:
    """Parses `section.field=value`, or the choice of a group.

    Args:
        text: override as given on the command line. Values of text settings are kept as typed, except for quotes.
        may_sweep: whether the override may have several values.

    Raises:
        InputError: the override cannot be read, or its choice does not exist.
    """
    if len(text) > _LONGEST or _depth(text) > _DEEPEST:
        fix = f"an override has at most {_LONGEST} characters and {_DEEPEST} levels of brackets"
        raise InputError(f"{show(text)}: {fix}")
    try:
        override = _read(text)
    except HydraException:
        raise _malformed(text) from None
    except ValueError:  # Python parses no integer of more than 4300 digits
        raise InputError(f"{show(text)}: has a number with too many digits; write it shorter, such as 1e6") from None
    name, line = override.key_or_group, show(text)
    if override.type is not OverrideType.CHANGE or override.package is not None or not name:
        raise InputError(f"{line}: +, ~ and @ are not supported; write section.field=value")
    if name in _texts_of(tuple(every_class())):
        override = _as_typed(override)
    if override.is_sweep_override():
        if may_sweep:
            return override
        raise InputError(f"{line}: takes one value, not several; write a list as [1,2]")
    if name in GROUPS:
        check_name(name, show(override.value()), options(name))
    return override


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _read(text: str) -> Override:
    """Parses with Hydra's grammar; text with characters that the grammar lacks is quoted first."""
    parser = OverridesParser.create()
    try:
        return parser.parse_override(text)
    except HydraException:
        name, _, value = text.partition("=")
        if name not in _texts_of(tuple(every_class())) or not value.isprintable() or _SPECIAL & set(value):
            raise
    override = parser.parse_override(f"{name}={QuotedString(value.strip(), Quote.double).with_quotes()}")
    return dataclasses.replace(override, input_line=text)


@functools.cache
def _texts_of(classes: tuple[type, ...]) -> set[str]:
    """Returns the settings of these classes whose value is text, as section.field."""
    makes: list[Any] = [*classes, SweepConfig]
    return {
        f"{make.section}.{name}"
        for make in makes
        for name, hint in typing.get_type_hints(make).items()
        if hint in (str, str | None)
    }


def _as_typed(override: Override) -> Override:
    """Undoes Hydra's conversion of text that looks like a number: `2026_11_25` to 20261125, `1e3` to 1000.0."""
    given, line = override._value, override.input_line or ""
    typed = line.partition("=")[2].strip()
    if not override.is_sweep_override():
        return dataclasses.replace(override, _value=_text_of(given, typed))
    if isinstance(given, ChoiceSweep):
        listed = re.fullmatch(r"choice\s*\((.*)\)|[^()]*", typed)
        pieces = (listed[1] or listed[0]).split(",") if listed else []
        if len(pieces) == len(given.list):
            texts = [_text_of(value, piece.strip()) for value, piece in zip(given.list, pieces, strict=True)]
            return dataclasses.replace(override, _value=dataclasses.replace(given, list=texts))
        if any(isinstance(value, int | float) for value in given.list):
            raise InputError(f"{show(line)}: has a number where text is expected; put each value in quotes")
    return override


def _text_of(value: Any, typed: str) -> Any:
    is_changed = isinstance(value, bool | float) or (isinstance(value, int) and str(value) != typed)
    return QuotedString(typed, Quote.double) if is_changed else value


def _malformed(text: str) -> InputError:
    name, equals, value = text.partition("=")
    if not equals:
        groups = [group for group in GROUPS if text in options(group)]
        meant = f"did you mean {groups[0]}={text}?" if groups else "write section.field=value, such as env.scenario=8m"
        return InputError(f"{show(text) or 'empty override'}: has no value; {meant}")
    quoted = value.replace('"', "").replace("'", "")
    fix = f"put text with special characters in two pairs of quotes: '{name}=\"{quoted}\"'"
    return InputError(f"{show(text)}: cannot be read; {' '.join(fix.split())}")
