"""Names to things, with an error that lists the names; and the things that users add."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from limae_jax.errors import InputError


def check_name(field: str, name: str, choices: Iterable[str]) -> str:
    """Returns `name` if it is one of `choices`.

    Raises:
        InputError: otherwise; the message lists the choices and guesses at the one meant.
    """
    choices = sorted(choices)
    if name in choices:
        return name
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise InputError(f"{field}={name}: unknown; choose one of {', '.join(choices)}.{hint}")


class Registered(NamedTuple):
    """A part that is not of this package.

    Attributes:
        make: makes it; what it takes goes by the kind of part.
        plugin: the module that a run names to have it again.
    """

    make: Callable[..., Any]
    plugin: str


# Kind of part, as the section of its settings is called -> its name -> how it is made.
REGISTERED: dict[str, dict[str, Registered]] = {"env": {}, "system": {}, "mixer": {}, "masking": {}}


def registered(kind: str, name: str) -> Callable[..., Any] | None:
    """How a part of users is made; None if there is none of that name."""
    found = REGISTERED[kind].get(name)
    return found.make if found else None
