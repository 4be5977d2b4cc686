"""Selects the settings class of each section by the names of the game, system, mixer, masking rule and replay kind."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

from limae_jax.checks import Section, show
from limae_jax.config.env import ENV_CONFIGS
from limae_jax.config.env_base import EnvConfig
from limae_jax.config.masking import MASKING_CONFIGS
from limae_jax.config.mixer import MIXER_CONFIGS
from limae_jax.config.run import REPLAY_CONFIGS, CheckpointConfig, EvalConfig, MetricsConfig, ReplayConfig, RunConfig
from limae_jax.config.system import SYSTEM_CONFIGS, SystemConfig, mixers_of
from limae_jax.errors import InputError
from limae_jax.registry import check_name

# Sections whose class is the same in every run.
_ALWAYS = (EvalConfig, CheckpointConfig, MetricsConfig, RunConfig)


class ChosenNames(NamedTuple):
    """The names that select the classes of a run's settings.

    Attributes:
        env, system: names of the game and the system.
        mixer, masking: names; None is the system's default, if it has one.
        replay: kind of replay.
    """

    env: str = EnvConfig.name
    system: str = SystemConfig.name
    mixer: str | None = None
    masking: str | None = None
    replay: str = ReplayConfig.kind

    def classes(self) -> dict[str, type[Section]]:
        """Returns section -> class of its settings, for the sections that the run reads.

        Raises:
            InputError: a game, system, mixer, masking rule or replay kind is unknown.
        """
        check_name("env", self.env, ENV_CONFIGS)
        check_name("system", self.system, SYSTEM_CONFIGS)
        system = SYSTEM_CONFIGS[self.system]
        found: dict[str, type[Section]] = {"env": ENV_CONFIGS[self.env], "system": system}
        found["mixer"] = MIXER_CONFIGS[check_name("mixer", self.mixer or system.mixers[0], MIXER_CONFIGS)]
        if system.beliefs is not None:
            found["mae"] = system.beliefs
        if system.rule is not None:
            found["masking"] = MASKING_CONFIGS[check_name("masking", self.masking or system.rule, MASKING_CONFIGS)]
        found["replay"] = REPLAY_CONFIGS[check_name("replay.kind", self.replay, REPLAY_CONFIGS)]
        return found | {one.section: one for one in _ALWAYS}

    def names(self) -> dict[str, str]:
        """Returns section -> value of its field `name`, for the sections that have one."""
        system = SYSTEM_CONFIGS[self.system]
        named = {"env": self.env, "system": self.system, "mixer": self.mixer or system.mixers[0]}
        return named | ({"masking": self.masking or system.rule} if system.rule else {})


def chosen_in(data: Mapping[str, Mapping[str, Any]]) -> ChosenNames:
    """Returns the names that nested plain data chooses; missing names keep their defaults."""
    named = {section: data.get(section, {}).get("name") for section in ("env", "system", "mixer", "masking")}
    named["replay"] = data.get("replay", {}).get("kind")
    return ChosenNames(**{section: str(name) for section, name in named.items() if name is not None})


def dotted_names(choices: ChosenNames) -> list[str]:
    """Returns every setting that a run with these choices reads, as section.field."""
    return [f"{section}.{item.name}" for section, made in choices.classes().items() for item in fields(made)]


def defaults(choices: ChosenNames) -> dict[str, dict[str, Any]]:
    """Returns section -> field -> default."""
    found: dict[str, dict[str, Any]] = {}
    for section, made in choices.classes().items():
        found[section] = {item.name: item.default for item in fields(made) if item.default is not MISSING}
    for section, name in choices.names().items():
        found[section]["name"] = name
    found["replay"]["kind"] = choices.replay
    return found


def every_class() -> list[type[Section]]:
    """Returns all classes of settings."""
    chosen = [*ENV_CONFIGS.values(), *SYSTEM_CONFIGS.values(), *MIXER_CONFIGS.values(), *MASKING_CONFIGS.values()]
    chosen += REPLAY_CONFIGS.values()
    beliefs = [made.beliefs for made in SYSTEM_CONFIGS.values() if made.beliefs is not None]
    return list(dict.fromkeys([*chosen, *beliefs, *_ALWAYS]))


def unknown_setting(name: str, value: Any, choices: ChosenNames, more: Iterable[str] = ()) -> InputError:
    """Returns the error for a setting that a run does not read; it names the choice that reads it or a close match.

    Args:
        name, value: the setting and its value.
        choices: choices of the run.
        more: further names to match.
    """
    given = f"{name}={show(value)}"
    for group, readers in _readers(name, choices).items():
        if not readers:
            continue
        fix = f"choose {group}={' or '.join(readers)}"
        now = choices.replay if group == "replay.kind" else choices.names().get(group)
        return InputError(f"{given}: {group}={now} does not read it; {fix}")
    meant = closest(name, [*dotted_names(choices), *more])
    hint = f"did you mean {meant}?" if meant else "`limae-jax config` shows all settings"
    return InputError(f"{given}: no such setting; {hint}")


def without_unread(data: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns nested plain data without the settings that this run does not read and a run of another system would."""
    choices = chosen_in(data)
    known, classes = dotted_names(choices), choices.classes()
    kept = {
        section: {
            name: value
            for name, value in part.items()
            if f"{section}.{name}" in known or not any(_readers(f"{section}.{name}", choices).values())
        }
        for section, part in data.items()
    }
    return {section: part for section, part in kept.items() if part or section in classes}


def _readers(name: str, choices: ChosenNames) -> dict[str, list[str]]:
    """Returns group -> choices with which the setting would be read; the smallest change first."""

    def reading(group: str, options: Iterable[str]) -> list[str]:
        return [option for option in options if name in dotted_names(choices._replace(**{group: option}))]

    if name.startswith("env."):
        return {"env": reading("env", ENV_CONFIGS)}
    if name.startswith("replay."):
        return {"replay.kind": reading("replay", REPLAY_CONFIGS)}
    system = SYSTEM_CONFIGS[choices.system]
    return {
        "mixer": reading("mixer", mixers_of(system)),
        "masking": reading("masking", MASKING_CONFIGS),
        "system": [option for option in SYSTEM_CONFIGS if _may_read(option, name)],
    }


def _may_read(system: str, name: str) -> bool:
    """Whether a system reads a setting, with its default mixer and any masking rule."""
    rules = MASKING_CONFIGS if SYSTEM_CONFIGS[system].rule else (None,)
    return any(name in dotted_names(ChosenNames(system=system, masking=rule)) for rule in rules)


def closest(name: str, known: list[str]) -> str | None:
    """Returns the known setting closest to `name`, if any is close."""
    by_field = {candidate.rpartition(".")[2]: candidate for candidate in known}
    field = name.rpartition(".")[2]
    if field in by_field:
        return by_field[field]
    whole = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    part = difflib.get_close_matches(field, by_field, n=1, cutoff=0.7)
    return whole[0] if whole else by_field[part[0]] if part else None
