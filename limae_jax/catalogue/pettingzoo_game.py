"""What a worker process gets to know of an environment of PettingZoo or Gymnasium: plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from limae_jax.checks import check

# What a module of PettingZoo makes its parallel environment with.
MAKER = "parallel_env"


@dataclass(frozen=True)
class ParallelSettings:
    """One worker's environment; see `environments.workers.game.GameSettings`.

    Attributes:
        game: what the worker plays.
        name: where the environment is, see `place_of`.
        seed: of the episodes. A worker of a pool adds its number to it.
        timeout_s: seconds without an answer after which the environment counts as hung.
        max_steps: time limit beside the environment's own.
        options: arguments of the function that makes it.
    """

    game: ClassVar[str] = "limae_jax.environments.pettingzoo.parallel:ParallelGame"

    name: str
    seed: int = 0
    timeout_s: float = 60.0
    max_steps: int = 1000
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GymnasiumSettings(ParallelSettings):
    """One worker's environment of Gymnasium, whose observations, actions and rewards have an entry for each agent.

    Attributes:
        name: what `gymnasium.make` makes, see `check_gymnasium_id`.
    """

    game: ClassVar[str] = "limae_jax.environments.pettingzoo.gymnasium_game:GymnasiumGame"


def check_gymnasium_id(scenario: str) -> None:
    """Checks the form `Name-v0`, or `module:Name-v0` with the module that registers the name.

    Raises:
        InputError: it has no such form.
    """
    module, colon, name = scenario.rpartition(":")
    is_module = all(part.isidentifier() for part in module.split(".")) if colon else True
    fix = "must be what gymnasium.make makes, such as lbforaging:Foraging-8x8-2p-3f-v3"
    check(is_module and re.fullmatch(r"[\w./-]+", name) is not None, "env.scenario", scenario, fix)


def place_of(scenario: str) -> tuple[str, str]:
    """Module and function of an environment, `module` or `module:function`; the function is `parallel_env` if not said.

    Raises:
        InputError: it has no such form.
    """
    module, colon, function = scenario.partition(":")
    names = [*module.split("."), function if colon else MAKER]
    fix = f"must be the module of a parallel environment such as mpe2.simple_spread_v3, or module:{MAKER}"
    check(all(name.isidentifier() for name in names), "env.scenario", scenario, fix)
    return module, names[-1]
