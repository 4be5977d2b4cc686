"""Checks of names, with an error that lists the choices, and the registry of users' parts."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from limae_jax.errors import InputError


def check_name(field: str, name: str, choices: Iterable[str]) -> str:
    """Returns `name` if it is one of `choices`.

    Raises:
        InputError: otherwise; the message lists the choices and suggests the closest one.
    """
    choices = sorted(choices)
    if name in choices:
        return name
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise InputError(f"{field}={name}: unknown; choose one of {', '.join(choices)}.{hint}")


class Registered(NamedTuple):
    """A part from outside this package.

    Attributes:
        make: builds the part; its arguments depend on the kind of part.
        plugin: the module to import for the part, which a run stores.
    """

    make: Callable[..., Any]
    plugin: str


# Kind of part (the section of its settings) -> name -> how to build it.
REGISTERED: dict[str, dict[str, Registered]] = {"env": {}, "system": {}, "mixer": {}, "masking": {}}


def registered(kind: str, name: str) -> Callable[..., Any] | None:
    """Returns the function that builds a user's part; None if there is no part of that name."""
    found = REGISTERED[kind].get(name)
    return found.make if found else None
