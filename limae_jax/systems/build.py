"""Builds a system from its name."""

from __future__ import annotations

import importlib
from typing import Any

from limae_jax.catalogue.systems import check_system
from limae_jax.config import TrainConfig
from limae_jax.registry import registered
from limae_jax.systems.acting import check_discrete
from limae_jax.systems.base import System
from limae_jax.systems.value_based import build_value_based
from limae_jax.systems.value_spec import ValueBasedSpec
from limae_jax.types import EnvSpec


def make_spec(config: TrainConfig, env: EnvSpec) -> ValueBasedSpec | System:
    """Calls `make_spec` of `limae_jax.systems.<name>` or of a plug-in."""
    make: Any = registered("system", config.system.name)
    if make is None:
        make = importlib.import_module(f"limae_jax.systems.{check_system(config.system.name)}").make_spec
    return make(config, env)


def build_system(config: TrainConfig, env: EnvSpec) -> System:
    """Builds the system that `config.system.name` names for an environment.

    Raises:
        InputError: the system cannot play the environment.
    """
    made = make_spec(config, env)
    if isinstance(made, System):
        return made
    check_discrete(config.system.name, env)
    return build_value_based(made, config, env)
