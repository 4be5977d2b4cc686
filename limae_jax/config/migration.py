"""Converts settings written by older versions to the current names and sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limae_jax.config.sections import chosen_in, dotted_names

# Until format 3, this masking rule stood for an auto-encoder that is not trained after phase 1.
_FROZEN_RULE = "frozen"
# Until format 2: old name -> current name.
_RENAMED = {
    "evaluation.every_env_steps": "evaluation.every_time_steps",
    "mae.pretrain_env_steps": "mae.pretrain_time_steps",
    "system.mixer": "mixer.name",
    "system.mixer_embed_dim": "mixer.embed_dim",
    "system.mixer_hypernet_dim": "mixer.hypernet_dim",
    "system.mixer_num_heads": "mixer.num_heads",
    "system.mixer_num_layers": "mixer.num_layers",
}
# Until format 2, a file could hold settings that its run did not read, if they had these (then) defaults.
_UNREAD_DEFAULTS: dict[str, Any] = {
    "mixer.name": None,
    "mixer.embed_dim": 32,
    "mixer.hypernet_dim": 64,
    "mixer.num_heads": 4,
    "mixer.num_layers": 2,
    "mae.window": 5,
    "mae.width": 32,
    "mae.num_heads": 4,
    "mae.encoder_layers": 2,
    "mae.decoder_layers": 1,
    "mae.learning_rate": 1e-3,
    "mae.max_grad_norm": 1.0,
    "mae.loss_weight": 1.0,
    "mae.pretrain_time_steps": 20_000,
    "mae.pretrain_updates_per_iteration": 32,
    "mae.td_gradient_to_mae": False,
    "mae.target_copy": False,
    "mae.context": "last_step",
    "masking.name": None,
    "masking.granularity": None,
    "masking.probability": 0.75,
    "masking.tolerance": 0.02,
    "masking.top_k": 1,
    "masking.alpha": 0.1,
    "masking.history_batches": 8,
    "masking.time_constant_steps": 10.0,
}


def migrated(data: Any, version: int) -> Any:
    """Converts settings to the current format.

    Args:
        data: nested plain data as read from a file; anything else is returned unchanged.
        version: format of the file, or an older one.
    """
    if version > 5 or not isinstance(data, Mapping) or not all(isinstance(part, Mapping) for part in data.values()):
        return data
    sections = _until_format_3(data, version) if version < 4 else {name: dict(part) for name, part in data.items()}
    if version < 5:
        _until_format_4(sections)
    if "encoder_layers" in sections.get("mae", {}):
        # Until format 5 the hidden layers were four times as wide, and Adam was the only optimiser.
        sections["mae"] = {"mlp_ratio": 4, "optimiser": "adam"} | sections["mae"]
    return sections


def _until_format_4(sections: dict[str, dict[str, Any]]) -> None:
    mae, system = sections.get("mae", {}), sections.get("system", {})
    if "encoder_layers" in mae and "training" not in mae:
        # There was no other training, and a weight of the loss that had no effect was not refused.
        mae["training"] = "masked"
        if not mae.get("td_gradient_to_mae"):
            mae.pop("loss_weight", None)
    if "target_update_env_steps" in system:
        # The newest parameters were evaluated and stored.
        system.setdefault("average_env_steps", 0)


def _until_format_3(data: Mapping[str, Mapping[str, Any]], version: int) -> dict[str, dict[str, Any]]:
    flat = {f"{section}.{name}": value for section, part in data.items() for name, value in part.items()}
    empty: dict[str, dict[str, Any]] = {section: {} for section, part in data.items() if not part}
    if flat.get("masking.name") == _FROZEN_RULE:
        flat |= {"masking.name": "random", "mae.freeze_after_pretraining": True}
    if version > 2:
        return empty | _nested(flat)
    flat = {_RENAMED.get(name, name): value for name, value in flat.items()}
    chosen = _nested({name: value for name, value in flat.items() if name.endswith(".name") and value is not None})
    read = set(dotted_names(chosen_in(chosen)))
    kept = {
        name: value
        for name, value in flat.items()
        if (name in read and (value is not None or not name.endswith(".name") or name == "run.name"))
        or not (name in _UNREAD_DEFAULTS and value == _UNREAD_DEFAULTS[name])
    }
    return empty | _nested(kept)


def names_in(data: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Returns the settings in nested plain data, null or not, as section.field under their current names."""
    flat = (f"{section}.{name}" for section, part in data.items() for name in part)
    return {_RENAMED.get(name, name) for name in flat}


def _nested(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for dotted, value in flat.items():
        section, _, name = dotted.partition(".")
        nested.setdefault(section, {})[name] = value
    return nested
