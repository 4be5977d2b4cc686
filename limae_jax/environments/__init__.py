"""Games. Importing this package imports neither jax nor a game; `make_env` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limae_jax.errors import InputError
from limae_jax.registry import check_name

if TYPE_CHECKING:
    from limae_jax.config import EnvConfig
    from limae_jax.environments.base import Environment

ENVIRONMENTS = {
    "smax": "StarCraft-like battles against a scripted enemy (SMAX of jaxmarl)",
    "mpe": "cooperative particle worlds (MPE of jaxmarl)",
}


def make_env(config: EnvConfig) -> Environment:
    """Builds the environment that `config` describes.

    Raises:
        InputError: there is no environment of that name, or the settings are those of another.
    """
    # The settings are checked against the scenarios in this package, so they are imported late here.
    from limae_jax.config import MpeConfig, SmaxConfig

    check_name("env", config.name, ENVIRONMENTS)
    if config.name == "smax" and isinstance(config, SmaxConfig):
        from limae_jax.environments.smax import Smax

        return Smax(config)
    if config.name == "mpe" and isinstance(config, MpeConfig):
        from limae_jax.environments.mpe import Mpe

        return Mpe(config)
    raise InputError(f"env.name={config.name}: the other settings are not its own; choose it with env={config.name}")
