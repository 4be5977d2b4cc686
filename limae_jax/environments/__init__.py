"""Environments. Importing this package imports neither jax nor a game; `make_env` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limae_jax.errors import InputError
from limae_jax.registry import check_name, registered

if TYPE_CHECKING:
    from limae_jax.config import EnvConfig
    from limae_jax.environments.base import Environment
    from limae_jax.environments.workers.pool import WorkerPool

ENVIRONMENTS = {
    "smax": "StarCraft-like battles against a scripted enemy (SMAX of jaxmarl)",
    "mpe": "cooperative particle worlds (MPE of jaxmarl)",
    "jaxmarl": "any other cooperative jaxmarl game with discrete actions",
    "matrix": "small multi-stage games with a known optimum, to test learners",
    "codes": "a game that knowledge of the team-mate decides, to test methods that guess it",
    "smac": "real StarCraft II (SMAC of oxwhirl); must be installed",
    "pettingzoo": "any PettingZoo parallel environment with discrete actions; must be installed",
    "gymnasium": "any Gymnasium environment with one entry per agent and discrete actions; must be installed",
}


def make_env(config: EnvConfig) -> Environment:
    """Builds the environment that `config` describes.

    Raises:
        InputError: there is no environment of that name, or the settings belong to another environment.
    """
    # Imported late: the settings import this package's scenarios to check themselves.
    from limae_jax.config import (
        CodesConfig,
        JaxmarlConfig,
        MatrixConfig,
        MpeConfig,
        ParallelConfig,
        SmacConfig,
        SmaxConfig,
    )

    if make := registered("env", config.name):
        return make(config)
    check_name("env", config.name, ENVIRONMENTS)
    if config.name == "smax" and isinstance(config, SmaxConfig):
        from limae_jax.environments.smax import Smax

        return Smax(config)
    if config.name == "mpe" and isinstance(config, MpeConfig):
        from limae_jax.environments.mpe import Mpe

        return Mpe(config)
    if config.name == "jaxmarl" and isinstance(config, JaxmarlConfig):
        from limae_jax.environments.jaxmarl_game import Jaxmarl

        return Jaxmarl(config)
    if config.name == "matrix" and isinstance(config, MatrixConfig):
        from limae_jax.environments.matrix import MatrixGame

        return MatrixGame(config)
    if config.name == "codes" and isinstance(config, CodesConfig):
        from limae_jax.environments.codes import CodesGame

        return CodesGame(config)
    if config.name == "smac" and isinstance(config, SmacConfig):
        from limae_jax.environments.smac.env import smac_spec
        from limae_jax.environments.workers.elsewhere import PlayedElsewhere

        return PlayedElsewhere(smac_spec(config.scenario))
    if config.name in ("pettingzoo", "gymnasium") and isinstance(config, ParallelConfig):
        from limae_jax.environments.pettingzoo.env import parallel_spec
        from limae_jax.environments.workers.elsewhere import PlayedElsewhere

        return PlayedElsewhere(parallel_spec(config))
    raise InputError(f"env.name={config.name}: the settings belong to another environment; use env={config.name}")


def check_env(config: EnvConfig) -> None:
    """Checks that the environment's game is installed, if it needs one. Quick; does not import jax.

    Raises:
        InputError: something is missing; the message says what to do.
    """
    if config.name == "smac":
        from limae_jax.environments.smac.installation import check_installation

        check_installation(config.scenario)
    if config.name == "pettingzoo":
        from limae_jax.environments.pettingzoo.installation import check_parallel_env

        check_parallel_env(config.scenario)
    if config.name == "gymnasium":
        from limae_jax.environments.pettingzoo.installation import check_gymnasium_env

        check_gymnasium_env(config.scenario)


def open_games(config: EnvConfig, seed: int = 0, shows_units: bool = False) -> WorkerPool:
    """Starts the worker processes of an environment that runs on the host.

    Args:
        config: settings of the environment.
        seed: training seed; each seed gets different games.
        shows_units: SMAC only: whether to read the units too, for teams that were trained on SMAX.

    Returns:
        The pool; a `smac.pool.BattlePool` for env=smac.

    Raises:
        InputError: the game or a package is missing, or the environment does not use worker processes.
    """
    from limae_jax.config import ParallelConfig, SmacConfig

    check_env(config)
    if isinstance(config, ParallelConfig):
        from limae_jax.environments.pettingzoo.env import parallel_settings
        from limae_jax.environments.workers.pool import WorkerPool

        return WorkerPool(parallel_settings(config, seed), config.workers, config.max_crashes)
    if not isinstance(config, SmacConfig):
        raise InputError(f"env.name={config.name}: does not run on the host; choose env=smac, pettingzoo or gymnasium")
    from limae_jax.catalogue.smac_game import GameSettings
    from limae_jax.catalogue.worker_seeds import MAX_WORKERS
    from limae_jax.environments.smac.pool import BattlePool

    settings = GameSettings(
        map_name=config.scenario,
        difficulty=config.difficulty,
        step_mul=config.step_mul,
        seed=seed * MAX_WORKERS % 2**31,
        timeout_s=config.timeout_s,
        shows_units=shows_units,
    )
    return BattlePool(settings, config.workers, config.max_crashes)
