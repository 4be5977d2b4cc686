"""Settings that a worker process gets for an environment of PettingZoo or Gymnasium, as plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from limae_jax.checks import check

# The function of a PettingZoo module that creates its parallel environment.
MAKER = "parallel_env"


@dataclass(frozen=True)
class ParallelSettings:
    """Settings of one worker's environment; see `environments.workers.game.GameSettings`.

    Attributes:
        game: "module:class" of the game that the worker plays.
        name: module and function of the environment, see `place_of`.
        seed: seed of the episodes; each worker of a pool adds its number.
        timeout_s: seconds without an answer after which the environment counts as hung.
        max_steps: time limit in addition to the environment's own.
        options: arguments of the function that creates the environment.
    """

    game: ClassVar[str] = "limae_jax.environments.pettingzoo.parallel:ParallelGame"

    name: str
    seed: int = 0
    timeout_s: float = 60.0
    max_steps: int = 1000
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GymnasiumSettings(ParallelSettings):
    """Settings of one worker's Gymnasium environment; observations, actions and rewards have one entry per agent.

    Attributes:
        name: ID for `gymnasium.make`, see `check_gymnasium_id`.
    """

    game: ClassVar[str] = "limae_jax.environments.pettingzoo.gymnasium_game:GymnasiumGame"


def check_gymnasium_id(scenario: str) -> None:
    """Checks the form `Name-v0`, or `module:Name-v0` with the module that registers the name.

    Raises:
        InputError: the form differs.
    """
    module, colon, name = scenario.rpartition(":")
    is_module = all(part.isidentifier() for part in module.split(".")) if colon else True
    fix = "must be an ID for gymnasium.make, such as lbforaging:Foraging-8x8-2p-3f-v3"
    check(is_module and re.fullmatch(r"[\w./-]+", name) is not None, "env.scenario", scenario, fix)


def place_of(scenario: str) -> tuple[str, str]:
    """Returns the module and function of an environment, `module` or `module:function` (default `parallel_env`).

    Raises:
        InputError: the form differs.
    """
    module, colon, function = scenario.partition(":")
    names = [*module.split("."), function if colon else MAKER]
    fix = f"must be the module of a parallel environment such as mpe2.simple_spread_v3, or module:{MAKER}"
    check(all(name.isidentifier() for name in names), "env.scenario", scenario, fix)
    return module, names[-1]
