"""Checks of settings. Each failure raises an InputError with one line: `field=value: what to do`."""

from __future__ import annotations

import dataclasses
import errno
import numbers
import os
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from limae_jax.errors import InputError

# Step counters and seeds are int32 on the device.
MAX_INT = 2**31 - 1

# Limits of file systems in bytes; for paths less than the limit of 4095, to leave room for the files below.
_LONGEST_NAME, _LONGEST_PATH = 255, 3800
_LEFT_OUT = " ... "


def printable(text: str) -> str:
    r"""Returns `text` with characters that a terminal or an encoding cannot print as escapes (`\x1b`)."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def one_line(value: Any) -> str:
    """Returns a value on one line, in command-line syntax; unprintable characters are escaped."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return printable(" ".join(str(list(value) if isinstance(value, tuple) else value).split()))


def shorten(text: str, length: int) -> str:
    """Returns `text`, without its middle if it has more than `length` characters; both ends identify it."""
    if len(text) <= length:
        return text
    kept = length - len(_LEFT_OUT)
    return text[: -(-kept // 2)] + _LEFT_OUT + text[len(text) - kept // 2 :]


def show(value: Any) -> str:
    """Returns `one_line(value)`, shortened for a message."""
    text = one_line(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check(holds: bool, name: str, value: Any, fix: str) -> None:
    """Raises InputError unless `holds`."""
    if not holds:
        raise InputError(f"{name}={show(value)}: {fix}")


def check_one_of(name: str, value: str, choices: Iterable[str]) -> None:
    """Raises InputError unless `value` is one of `choices`."""
    choices = tuple(choices)
    check(value in choices, name, value, f"choose one of {', '.join(choices)}")


def check_path(name: str, path: str | os.PathLike[str]) -> None:
    """Raises InputError if a path has a character or a length that no file system supports."""
    text = os.fspath(path)
    # Python represents non-UTF-8 bytes as lone surrogates; the other surrogates represent nothing.
    is_name = "\0" not in text and not re.search("[\ud800-\udc7f\udd00-\udfff]", text)
    check(is_name, name, text, "has a character that no file system supports; leave it out")
    encoded = os.fsencode(os.path.abspath(text))
    is_short = len(encoded) <= _LONGEST_PATH and all(len(part) <= _LONGEST_NAME for part in encoded.split(b"/"))
    fix = f"a path has at most {_LONGEST_PATH} bytes and each name in it {_LONGEST_NAME}; choose a shorter one"
    check(is_short, name, text, fix)


def user_path(name: str, path: str | os.PathLike[str]) -> str:
    """Returns a path with `~` or `~user` at its start expanded.

    Raises:
        InputError: there is no such home, or the path is invalid.
    """
    check_path(name, path)
    text = os.fspath(path)
    expanded = os.path.expanduser(text)
    is_known = expanded != text or not text.startswith("~")
    check(is_known, name, path, "there is no such home; write the path in full, or ./~ for a folder of that name")
    try:
        os.stat(expanded)
    except OSError as error:
        check(error.errno != errno.ELOOP, name, path, "is a loop of symbolic links; choose another")
    return expanded


def check_out(path: str | os.PathLike[str], suffix: str) -> Path:
    """Returns the path of an output file with the given suffix, expanded by `user_path`.

    Raises:
        InputError: the suffix differs, or the folder does not exist.
    """
    out = Path(user_path("--out", path))
    check(out.suffix.lower() == suffix, "--out", out, f"must end in {suffix}")
    check(out.parent.is_dir(), "--out", out, f"there is no folder {out.parent}")
    return out


def check_options(name: str, options: Mapping[Any, Any]) -> None:
    """Checks arguments for third-party code: Python names with plain values or lists of these.

    Raises:
        InputError: a name or value is of another kind.
    """
    for key, value in options.items():
        check(isinstance(key, str) and key.isidentifier(), name, key, "must be the name of an argument")
        fix = "must be a number, text, true, false, null, or a list of these"
        check(_is_plain(value), f"{name}.{key}", value, fix)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(entry) for entry in value)
    return value is None or isinstance(value, bool | int | float | str)


def check_types(section: str, config: Any) -> None:
    """Converts every field of a frozen dataclass to its declared type: 1e6 to a whole number, a list to a tuple.

    Args:
        section: dotted prefix for messages; empty at the top level.
        config: instance; its fields are replaced in place, so call this from `__post_init__`.

    Raises:
        InputError: a value has the wrong type, or is not finite.
    """
    hints = typing.get_type_hints(type(config))
    for item in dataclasses.fields(config):
        name = f"{section}.{item.name}" if section else item.name
        object.__setattr__(config, item.name, _converted(name, getattr(config, item.name), hints[item.name]))


@dataclass(frozen=True)
class Section:
    """A section of settings. Values are converted to the declared types, so that 1e6 is accepted as a whole number.

    Class attributes:
        section: name of the section.
        traced: fields that compiled programs take as arguments, see `config.traced`.
    """

    section: ClassVar[str]
    traced: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_types(self.section, self)

    def _check(self, holds: bool, name: str, fix: str) -> None:
        check(holds, f"{self.section}.{name}", getattr(self, name), fix)

    def _positive(self, *names: str) -> None:
        for name in names:
            value: Any = getattr(self, name)
            self._check(value is None or value > 0, name, "must be greater than 0")

    def _at_most(self, bound: int, *names: str) -> None:
        for name in names:
            value: Any = getattr(self, name)
            self._check(value is None or value <= bound, name, f"must not exceed {bound}")

    def _path(self, name: str) -> None:
        if (value := getattr(self, name)) is not None:
            self._check(bool(value.strip()), name, "must be a path, or null")
            object.__setattr__(self, name, user_path(f"{self.section}.{name}", value))

    def _one_of(self, name: str, *choices: str) -> None:
        check_one_of(f"{self.section}.{name}", getattr(self, name), choices)


def _converted(name: str, value: Any, hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = typing.get_args(hint)[0]
    check(value is not None, name, value, "needs a value")
    if typing.get_origin(hint) is tuple:
        check(isinstance(value, (list, tuple)), name, value, "must be a list such as [1, 2]")
        return tuple(_converted(name, entry, typing.get_args(hint)[0]) for entry in value)
    if typing.get_origin(hint) is dict:
        check(isinstance(value, dict), name, value, "must be a mapping such as {a: 1, b: 2}")
        return dict(value)
    if dataclasses.is_dataclass(hint):
        check(isinstance(value, typing.cast(type, hint)), name, value, "must be a section of settings")
        return value
    return _CONVERTERS[hint](name, value)


def _to_bool(name: str, value: Any) -> bool:
    check(isinstance(value, bool), name, value, "must be true or false")
    return value


def _to_float(name: str, value: Any) -> float:
    number = _number(value)
    # `math.isfinite` raises OverflowError for integers beyond the range of floats.
    is_finite = number is not None and abs(number) <= sys.float_info.max
    check(is_finite, name, value, "must be a finite number")
    return float(typing.cast(float, number))


def _to_int(name: str, value: Any) -> int:
    number = _number(value)
    is_whole = isinstance(number, numbers.Integral) or (number is not None and float(number).is_integer())
    check(is_whole, name, value, "must be a whole number")
    whole = int(typing.cast(float, number))
    check(abs(whole) <= MAX_INT, name, value, f"must not exceed {MAX_INT}")
    return whole


def _to_text(name: str, value: Any) -> str:
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    check(isinstance(value, str) or is_whole, name, value, f"must be text; put it in quotes: '{name}=\"...\"'")
    return str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return typing.cast(float, value) if is_number else None


_CONVERTERS = {bool: _to_bool, int: _to_int, float: _to_float, str: _to_text}
