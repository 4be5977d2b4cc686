"""Names of maps and methods: the kind of each run, and the settings in which it differs from others of its kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from limae_jax.catalogue.systems import label
from limae_jax.checks import one_line
from limae_jax.config import TrainConfig
from limae_jax.config.sections import chosen_in, defaults
from limae_jax.config.text import from_dict, to_dict

# Settings that do not change a result, or are checked separately: budget and evaluation.
_NOT_OF_A_METHOD = ("run.", "checkpoint.", "metrics.", "evaluation.", "env.")
# Settings of section env that belong to the learner, or only control how games are run.
_OF_A_METHOD = ("env.num_envs", "env.workers")
_NOT_OF_A_MAP = (*_OF_A_METHOD, "env.timeout_s", "env.max_crashes", "env.replays")
# If more settings than this vary, only those without their default value are named.
_MOST_SETTINGS = 2
_LONGEST_FILE_NAME = 60


class Label(NamedTuple):
    """The name of a run's map or method.

    Attributes:
        name: `kind (detail, setting=value)`.
        num_unusual: number of varying settings that do not have their default value.
    """

    name: str
    num_unusual: int


def map_labels(configs: Sequence[TrainConfig]) -> list[Label]:
    """Returns each run's scenario, with the game settings in which runs of the same scenario differ."""
    return _labels(configs, lambda config: (config.env.name, config.env.scenario), _is_of_a_map, _map_label)


def method_labels(configs: Sequence[TrainConfig]) -> list[Label]:
    """Returns each run's system, mixer and masking rule, with the settings in which runs of the same three differ."""
    return _labels(configs, _kind_of_method, _is_of_a_method, method_label)


def _kind_of_method(config: TrainConfig) -> tuple[str, ...]:
    return config.system.name, config.mixing.name, str(config.rule)


def method_label(config: TrainConfig, *settings: str) -> str:
    """Returns a method's name: system, masking rule, mixer if not the default, and `settings`."""
    own = type(config.system).mixers[0]
    mixer = [] if config.mixing.name == own else [f"mixer={config.mixing.name}"]
    return label(config.system.name, *filter(None, [config.rule, *mixer]), *settings)


def flat(config: TrainConfig) -> dict[str, Any]:
    """Returns `section.field` -> value of all settings that a run reads."""
    return {f"{section}.{name}": value for section, fields in to_dict(config).items() for name, value in fields.items()}


def _is_of_a_map(name: str) -> bool:
    return name.startswith("env.") and name not in (*_NOT_OF_A_MAP, "env.name", "env.scenario")


def _is_of_a_method(name: str) -> bool:
    is_of_a_method = not name.startswith(_NOT_OF_A_METHOD) or name in _OF_A_METHOD
    return is_of_a_method and name not in ("system.name", "mixer.name", "masking.name")


def _map_label(config: TrainConfig, *settings: str) -> str:
    said = ["smac"] * (config.env.name == "smac") + list(settings)
    return f"{config.env.scenario} ({', '.join(said)})" if said else str(config.env.scenario)


def _labels(
    configs: Sequence[TrainConfig],
    kind: Callable[[TrainConfig], tuple[Any, ...]],
    is_told: Callable[[str], bool],
    name: Callable[..., str],
) -> list[Label]:
    """Returns a label per run; two are equal only if all settings for which `is_told` holds are equal."""
    told = [{key: value for key, value in flat(config).items() if is_told(key)} for config in configs]
    alike: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for config, own in zip(configs, told, strict=True):
        alike.setdefault(kind(config), []).append(own)
    varied = {of_kind: _varied(settings) for of_kind, settings in alike.items()}
    labels = []
    for config, own in zip(configs, told, strict=True):
        differing = [key for key in own if key in varied[kind(config)]]
        default = flat(from_dict(defaults(chosen_in(to_dict(config)))))
        unusual = [key for key in differing if own[key] != default[key]]
        named = differing if len(varied[kind(config)]) <= _MOST_SETTINGS else unusual
        settings = [f"{_short_key(key, own)}={_short_value(own[key])}" for key in named]
        labels.append(Label(name(config, *(settings or ["defaults"] * bool(differing))), len(unusual)))
    return labels


def _varied(settings: Sequence[dict[str, Any]]) -> set[str]:
    """Returns the settings that have several values among runs of a kind."""
    keys = dict.fromkeys(key for one in settings for key in one)
    return {key for key in keys if len({repr(one[key]) for one in settings if key in one}) > 1}


def _short_key(key: str, settings: dict[str, Any]) -> str:
    """Returns a setting without its section, unless another section than `system` shares the field name."""
    section, _, field = key.partition(".")
    times = Counter(other.partition(".")[2] for other in settings)
    return field if section == "system" or times[field] == 1 else key


def _short_value(value: Any) -> str:
    """Formats a value as typed on the command line: 45 for 45.0, lists without spaces."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_short_value, value))}]"
    return one_line(value).removesuffix(".0") if isinstance(value, float) else one_line(value)


def file_names(names: Sequence[str]) -> dict[str, str]:
    """Returns for each name a unique, short part of a file name, of characters that every file system accepts."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        plain = re.sub(r"[^A-Za-z0-9.=-]+", "_", name).strip("_.")[:_LONGEST_FILE_NAME].rstrip("_.") or "map"
        taken, number = {other.lower() for other in found.values()}, 2
        candidate = plain
        while candidate.lower() in taken:
            candidate, number = f"{plain}_{number}", number + 1
        found[name] = candidate
    return found
