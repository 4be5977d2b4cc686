"""Composes checked settings from command-line overrides: Hydra chooses among configs/, the dataclasses check.

Hydra gets only the choices (`system=vdn`). Settings (`system.gamma=0.9`) are parsed by Hydra's grammar, but applied
here, so that each mistake is reported by name and on one line.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from limae_jax.checks import one_line, show
from limae_jax.config import ENV_CONFIGS, SmaxConfig, TrainConfig
from limae_jax.config.changes import check_continuation, differences
from limae_jax.config.overrides import GROUPS, config_dir, options, parse_override
from limae_jax.config.sections import ChosenNames, chosen_in, defaults, dotted_names, unknown_setting, without_unread
from limae_jax.config.sweep import SweepConfig
from limae_jax.config.text import (
    check_is_data,
    from_dict,
    from_yaml,
    to_dict,
    to_yaml,
)
from limae_jax.errors import InputError
from limae_jax.registry import REGISTERED

__all__ = [
    "GROUPS",
    "check_continuation",
    "config_dir",
    "differences",
    "from_yaml",
    "load_config",
    "options",
    "override_config",
    "profile_of",
    "to_yaml",
]


# Sections that are reset when another choice of the group is made.
_CHOSEN_WITH = {"system": ("mixer", "mae", "masking")}


def load_config(overrides: Sequence[str] = ()) -> TrainConfig:
    """Composes the settings of a run.

    Args:
        overrides: choices (`env=mpe`, `system=vdn`, `experiment=quickstart`) and settings (`run.num_seeds=3`), in any
            order; settings override choices, and later overrides win.

    Raises:
        InputError: an override is invalid.
    """
    data = _load(overrides)
    if "sweep" in data:
        raise InputError("experiment: is a sweep of several runs; start it with `limae-jax sweep experiment=...`")
    return from_dict(data)


def load_cell(overrides: Sequence[str]) -> TrainConfig:
    """Same as `load_config` for a cell of a sweep.

    The experiment may be a sweep, with settings that only some of its systems read.
    """
    data = _load(overrides)
    if data.pop("sweep", None) is None:
        return from_dict(data)
    return from_dict(without_unread(data))


def experiment_sweep(experiment: str) -> dict[str, Any]:
    """Returns section `sweep` of an experiment; empty if the experiment is a single run.

    Args:
        experiment: `experiment=...`
    """
    section = _compose([parse_override(experiment)]).get("sweep", {})
    known = [item.name for item in dataclasses.fields(SweepConfig)]
    for name, value in section.items():
        if name not in known:
            raise unknown_setting(f"sweep.{name}", value, ChosenNames(), [f"sweep.{one}" for one in known])
    return section


def _load(overrides: Sequence[str]) -> dict[str, Any]:
    parsed = [parse_override(text) for text in overrides]
    chosen = [override for override in parsed if override.key_or_group in GROUPS]
    settings = [override for override in parsed if override.key_or_group not in GROUPS]
    return _with_settings(_compose(chosen), settings)


def override_config(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """Applies overrides to the settings of a run.

    Args:
        config: settings of the run.
        overrides: as for `load_config`; `env=` and `system=` replace the whole section, an experiment is refused.

    Raises:
        InputError: an override is invalid.
    """
    check_is_data(config)  # interpolations are resolved only in the overrides
    parsed = [parse_override(text) for text in overrides]
    data = to_dict(config)
    for override in parsed:
        group = override.key_or_group
        if group == "experiment":
            raise InputError(f"{override.input_line}: a run keeps its experiment; override single settings")
        if group in GROUPS:
            data = {section: part for section, part in data.items() if section not in _CHOSEN_WITH.get(group, ())}
            data[group] = _compose([override])[group]
    return from_dict(_with_settings(data, [override for override in parsed if override.key_or_group not in GROUPS]))


def profile_of(env: SmaxConfig) -> str:
    """Returns the name of the file in configs/env with these settings, or "own settings".

    Settings scenario, max_steps and num_envs may differ.
    """
    for name in options("env"):
        profile = _compose([parse_override(f"env={name}")])["env"]
        given = dataclasses.asdict(env) | {field: profile.get(field) for field in ("scenario", "max_steps", "num_envs")}
        if given == {field: tuple(value) if isinstance(value, list) else value for field, value in profile.items()}:
            return name
    return "own settings"


def _compose(choices: Iterable[Override]) -> dict[str, Any]:
    # Cached: the cells of a sweep often share their choices.
    return copy.deepcopy(_composed(tuple(override.input_line or "" for override in choices)))


@functools.lru_cache(maxsize=64)
def _composed(choices: tuple[str, ...]) -> dict[str, Any]:
    _store_defaults()
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            composed = compose("train", list(choices))
        return cast(dict[str, Any], OmegaConf.to_container(composed))
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(f"{config_dir()}: {one_line(error)}") from None
    finally:
        GlobalHydra.instance().hydra = outer


def _store_defaults() -> None:
    """Stores the defaults that YAML files refer to: `limae_jax_schema`, and `<family>_schema` in group env.

    Sections whose class depends on the system are left out: `_with_settings` fills them in.
    """
    store = ConfigStore.instance()
    plain = defaults(ChosenNames())
    sections = {section: plain[section] for section in ("evaluation", "checkpoint", "metrics", "run")}
    store.store(name="limae_jax_schema", node=sections)
    for family, make in ENV_CONFIGS.items():
        node = to_dict(TrainConfig(env=make()))["env"]
        name = family if family in REGISTERED["env"] else f"{family}_schema"
        store.store(group="env", name=name, node=node)
    # Parts from plug-ins have no YAML files.
    for group in ("system", "mixer", "masking"):
        for name in REGISTERED[group]:
            store.store(group=group, name=name, node={"name": name})


def _with_settings(data: dict[str, Any], settings: Iterable[Override]) -> dict[str, Any]:
    settings = list(settings)
    for override in settings:
        if override.key_or_group == "replay.kind":  # selects the class of the section
            data = {**data, "replay": {**data.get("replay", {}), "kind": override.value()}}
    chosen = chosen_in(data)
    completed = {section: values | data.get(section, {}) for section, values in defaults(chosen).items()}
    try:
        config = OmegaConf.create(data | completed)
        for override in settings:
            _check_setting(chosen, override.key_or_group, override.value())
            OmegaConf.update(config, override.key_or_group, override.value())
        return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    except OmegaConfBaseException as error:
        problem = one_line(str(error).partition("full_key")[0])
        raise InputError(f"{error.full_key or 'settings'}: cannot be resolved: {problem}") from None


def _check_setting(chosen: ChosenNames, name: str, value: Any) -> None:
    known = dotted_names(chosen)
    given = f"{name}={show(value)}"
    if name in chosen.classes():
        example = next(key for key in known if key.startswith(f"{name}."))
        raise InputError(f"{given}: is a section; set its fields one by one, such as {example}=...")
    if name not in known:
        raise unknown_setting(name, value, chosen, GROUPS)
    section, _, field = name.partition(".")
    if field == "name" and section in chosen.names():
        raise InputError(f"{given}: cannot be set here; write {section}={show(value)}")
    if value == "???":
        raise InputError(f"{given}: needs a value")
