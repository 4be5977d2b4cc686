"""Registers users' environments, mixers, masking rules and systems, found by entry point or by --plugin.

A plug-in is a module that calls the functions below when it is imported. Its parts are then chosen, listed, checked,
trained, resumed, swept and reported like those of this package; a run's settings name the plug-ins that it needs
(`run.plugins`).
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from limae_jax.catalogue.masking_rules import GRANULARITIES, RULES, RuleSummary
from limae_jax.catalogue.systems import NOT_DECENTRALISED, SYSTEMS
from limae_jax.checks import Section, one_line
from limae_jax.config.env import ENV_CONFIGS
from limae_jax.config.env_base import EnvConfig
from limae_jax.config.masking import MASKING_CONFIGS, MaskingConfig
from limae_jax.config.mixer import MIXER_CONFIGS, MixerConfig
from limae_jax.config.system import SYSTEM_CONFIGS, SystemConfig
from limae_jax.errors import InputError
from limae_jax.registry import REGISTERED, Registered

ENTRY_POINTS = "limae_jax.plugins"

# The plug-ins that are being imported (innermost last), the imported ones, and whether entry points were searched.
_importing: list[str] = []
_loaded: set[str] = set()
_searched: list[bool] = []


def register_environment(config: type[EnvConfig], make: Callable[[Any], Any], summary: str) -> None:
    """Registers an environment, `env=<name>`.

    Args:
        config: class of its settings; the default of `name` is the game's name. `config.CompiledConfig` is a good base.
        make: settings -> an `environments.base.Environment`.
        summary: one line for `limae-jax list scenarios`.

    Raises:
        ValueError: the name is taken, or `config` is not a dataclass based on `EnvConfig`.
    """
    _register("env", config, EnvConfig, ENV_CONFIGS, make)
    GAME_SUMMARIES[_name_of(config)] = summary


def register_mixer(config: type[MixerConfig], make: Callable[[Any, Any], Any]) -> None:
    """Registers a mixer, `mixer=<name>`, for every system that has a choice of mixers.

    Args:
        config: class of its settings; the default of `name` is the mixer's name.
        make: (settings, EnvSpec) -> a flax module that is called as mixer(MixerInputs) -> [T, B].

    Raises:
        ValueError: the name is taken, or `config` is not a dataclass based on `MixerConfig`.
    """
    _register("mixer", config, MixerConfig, MIXER_CONFIGS, make)


def register_masking_rule(
    config: type[MaskingConfig],
    make: Callable[[Any, int, int], Any],
    formula: str,
    granularities: tuple[str, ...] = GRANULARITIES,
) -> None:
    """Registers a masking rule, `masking=<name>`.

    Args:
        config: class of its settings; the default of `name` is the rule's name.
        make: (settings, number of agents, window) -> a `masking.base.MaskingRule`.
        formula: when agent i is hidden, for `limae-jax list masking`.
        granularities: supported granularities, the default first.

    Raises:
        ValueError: the name is taken, or `config` is not a dataclass based on `MaskingConfig`.
    """
    _register("masking", config, MaskingConfig, MASKING_CONFIGS, make)
    RULES[_name_of(config)] = RuleSummary(formula, granularities)


def register_system(
    config: type[SystemConfig], make: Callable[[Any, Any], Any], summary: str, is_decentralised: bool = True
) -> None:
    """Registers a system, `system=<name>`.

    Args:
        config: class of its settings; the default of `name` is the system's name. Systems on the shared core use the
            base `config.ValueBasedConfig`.
        make: (TrainConfig, EnvSpec) -> a `systems.value_based.ValueBasedSpec`, or a whole `systems.base.System`.
        summary: one line for `limae-jax list systems`.
        is_decentralised: whether its agents read at execution only what a real agent could know; otherwise every
            table and figure says so.

    Raises:
        ValueError: the name is taken, or `config` is not a dataclass based on `SystemConfig`.
    """
    _register("system", config, SystemConfig, SYSTEM_CONFIGS, make)
    name = _name_of(config)
    SYSTEMS[name] = summary
    if not is_decentralised:
        NOT_DECENTRALISED.append(name)


# Environment from a plug-in -> its one-line summary.
GAME_SUMMARIES: dict[str, str] = {}


def _name_of(config: type[Section]) -> str:
    return str(next((item.default for item in dataclasses.fields(config) if item.name == "name"), ""))


def _register(
    kind: str, config: type[Any], base: type[Section], classes: dict[str, Any], make: Callable[..., Any]
) -> None:
    if not (isinstance(config, type) and issubclass(config, base) and dataclasses.is_dataclass(config)):
        raise ValueError(f"{config!r}: must be a frozen dataclass with the base {base.__name__}")
    name = _name_of(config)
    if classes.get(name, config) is not config:
        raise ValueError(f"{kind}={name}: the name is taken; give `name` of {config.__name__} another default")
    plugin = _importing[-1] if _importing else make.__module__.partition(".")[0]
    _loaded.add(plugin)
    classes[name] = config
    REGISTERED[kind][name] = Registered(make, plugin)


def plugins_of(chosen: Iterable[tuple[str, str | None]]) -> tuple[str, ...]:
    """Returns the sorted plug-ins that the chosen parts, given as (kind, name), come from."""
    found = (REGISTERED[kind].get(name) for kind, name in chosen if name is not None)
    return tuple(sorted({part.plugin for part in found if part is not None}))


def check_plugins(names: Iterable[Any]) -> None:
    """Checks that the plug-ins of a run have been imported. They are not imported here: stored settings run no code.

    Raises:
        InputError: a plug-in has not been imported.
    """
    load_installed()
    for name in names:
        if name not in _loaded:
            fix = f"add --plugin {one_line(name)}, or install the package that provides it"
            raise InputError(f"run.plugins={one_line(name)}: the run needs this plug-in; {fix}")


def load_plugins(modules: Iterable[str]) -> None:
    """Imports plug-ins by the names of their modules, which may be in the current folder.

    Raises:
        InputError: a plug-in cannot be imported.
    """
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    for module in modules:
        _load(module, f"--plugin={module}", partial(importlib.import_module, module))


def load_installed() -> None:
    """Imports the plug-ins of installed packages, declared as entry points of `limae_jax.plugins`, once per process.

    Raises:
        InputError: a plug-in cannot be imported.
    """
    if _searched:
        return
    _searched.append(True)
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        _load(point.module, f"plug-in {point.name}", point.load)


def _load(module: str, given: str, load: Callable[[], Any]) -> None:
    _importing.append(module)
    try:
        load()
    except Exception as error:
        problem = one_line(f"{type(error).__name__}: {error}")
        raise InputError(f"{given}: cannot be imported ({problem}); fix it, or leave it out") from None
    finally:
        _importing.pop()
    _loaded.add(module)
