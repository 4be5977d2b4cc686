"""Names to things, with an error that lists the names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

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
