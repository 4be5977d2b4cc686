"""Installation checks for PettingZoo and Gymnasium. Imports neither jax nor the environment."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil

from limae_jax.catalogue.pettingzoo_game import place_of
from limae_jax.errors import InputError
from limae_jax.registry import check_name

INSTALL = "pip install 'limae-jax[pettingzoo]'"


def check_parallel_env(scenario: str) -> None:
    """Checks that PettingZoo and the environment's module are installed.

    Raises:
        InputError: one of them is missing; the message says what to do.
    """
    if getattr(importlib.util.find_spec("pettingzoo"), "origin", None) is None:
        raise InputError(f"env.name=pettingzoo: the package pettingzoo is missing; {INSTALL}")
    module, _ = place_of(scenario)
    package = module.rpartition(".")[0]
    try:
        if importlib.util.find_spec(module) is not None:
            return
        siblings = [one.name for one in pkgutil.iter_modules(getattr(_imported(package), "__path__", None))]
    except ImportError as error:
        raise InputError(f"env.scenario={scenario}: cannot be imported ({error}); install its package") from None
    if not package:
        raise InputError(f"env.scenario={scenario}: there is no such module; install its package")
    check_name("env.scenario", module, [f"{package}.{sibling}" for sibling in siblings])


def check_gymnasium_env(scenario: str) -> None:
    """Checks that Gymnasium and the module that registers the environment are installed.

    Raises:
        InputError: one of them is missing; the message says what to do.
    """
    if importlib.util.find_spec("gymnasium") is None:
        raise InputError("env.name=gymnasium: the package gymnasium is missing; pip install 'limae-jax[gymnasium]'")
    module = scenario.rpartition(":")[0]
    try:
        is_there = not module or importlib.util.find_spec(module) is not None
    except ImportError:
        is_there = False
    if not is_there:
        raise InputError(f"env.scenario={scenario}: there is no module {module}; install its package")


def _imported(package: str) -> object:
    return importlib.import_module(package) if package else None
