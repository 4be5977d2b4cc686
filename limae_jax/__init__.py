"""QMIX and its family in JAX on SMAX: one process, one compiled program, many seeds.

As a library: `result = limae_jax.train(limae_jax.TrainConfig(...))`, then `limae_jax.load_policy(result.run_dir)` and
`limae_jax.play(policy, limae_jax.make_env(result.run_dir))`. Importing this package imports no jax; the names below are
loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from limae_jax.version import __version__

if TYPE_CHECKING:
    from limae_jax.config import TrainConfig
    from limae_jax.config.compose import load_config
    from limae_jax.config.plugins import (
        register_environment,
        register_masking_rule,
        register_mixer,
        register_system,
    )
    from limae_jax.errors import InputError
    from limae_jax.evaluation.play import Episode, make_env, play
    from limae_jax.evaluation.policy import export_policy, load_policy
    from limae_jax.training.result import TrainResult
    from limae_jax.training.runner import train

__all__ = [
    "Episode",
    "InputError",
    "TrainConfig",
    "TrainResult",
    "__version__",
    "export_policy",
    "load_config",
    "load_policy",
    "make_env",
    "play",
    "register_environment",
    "register_masking_rule",
    "register_mixer",
    "register_system",
    "train",
]

_HOMES = {
    "Episode": "limae_jax.evaluation.play",
    "InputError": "limae_jax.errors",
    "TrainConfig": "limae_jax.config",
    "TrainResult": "limae_jax.training.result",
    "export_policy": "limae_jax.evaluation.policy",
    "load_config": "limae_jax.config.compose",
    "load_policy": "limae_jax.evaluation.policy",
    "make_env": "limae_jax.evaluation.play",
    "play": "limae_jax.evaluation.play",
    "register_environment": "limae_jax.config.plugins",
    "register_masking_rule": "limae_jax.config.plugins",
    "register_mixer": "limae_jax.config.plugins",
    "register_system": "limae_jax.config.plugins",
    "train": "limae_jax.training.runner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
