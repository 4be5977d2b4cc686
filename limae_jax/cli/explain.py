"""Explains each setting, from the docstrings of the dataclasses that check it. Nothing here imports jax."""

from __future__ import annotations

import inspect
import re

from rich.console import Console
from rich.text import Text

from limae_jax.checks import one_line
from limae_jax.config import TrainConfig
from limae_jax.config.text import to_dict
from limae_jax.metrics.tables import hanging
from limae_jax.metrics.terminal import make_console

_INDENT = 6


def meanings(settings: type) -> dict[str, str]:
    """Returns field -> description, from the docstrings of a settings dataclass and its base classes."""
    found: dict[str, str] = {}
    for one in reversed(settings.__mro__):
        doc = inspect.cleandoc(one.__doc__ or "")
        _, _, attributes = doc.partition("Attributes:\n")
        for names, text in _entries(attributes):
            found |= dict.fromkeys(names, text)
    return found


def _entries(attributes: str) -> list[tuple[list[str], str]]:
    """Returns (names, text) of each entry `name, name: text`; continuation lines are indented further."""
    entries = re.split(r"\n(?= {4}\S)", attributes)
    pairs = (" ".join(entry.split()).partition(": ") for entry in entries)
    return [(names.split(", "), text) for names, colon, text in pairs if colon]


def print_settings(config: TrainConfig) -> None:
    """Prints every setting that a run reads: its name and value, and its meaning on the next line."""
    console = make_console()
    for section, values in to_dict(config).items():
        known = meanings(type(getattr(config, section)))
        for name, value in values.items():
            _print_setting(console, f"{section}.{name}={one_line(value)}", known.get(name, ""))


def _print_setting(console: Console, setting: str, meaning: str) -> None:
    console.print(Text(setting, style="bold"), soft_wrap=True)
    if meaning:
        # Lines of a log are not wrapped.
        text = hanging(" " * _INDENT + meaning, console.width, _INDENT) if console.is_terminal else f"  {meaning}"
        console.print(Text(text), soft_wrap=True)
