"""What a worker process is told about a game of SMAC. Plain data, for it crosses to another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class GameSettings:
    """One worker's game of StarCraft II; see `environments.workers.game.GameSettings`.

    Attributes:
        game: what the worker plays.
        map_name: one of `maps.SMAC_MAPS`.
        difficulty: of the built-in enemy, "1" to "9" and "A"; "7" ("very hard") is the published protocol's.
        step_mul: game loops for each action, of which the game makes 22.4 a second.
        seed: of the game. A worker of a pool adds its number to it.
        timeout_s: seconds without an answer after which the game counts as hung. The pool waits a little longer
            before it gives the worker up.
        options: further arguments of SMAC's constructor, such as `obs_last_action`.
        shows_units: whether the units are read at every step, for translation.
        env_factory: "module:function", called in the worker with these settings; it gives an object with the
            interface of `StarCraft2Env`.
    """

    game: ClassVar[str] = "limae_jax.environments.smac.battle:Battle"

    map_name: str
    difficulty: str = "7"
    step_mul: int = 8
    seed: int = 0
    timeout_s: float = 60.0
    options: Mapping[str, Any] = field(default_factory=dict)
    shows_units: bool = False
    env_factory: str = "limae_jax.environments.smac.game:make_game"

    @property
    def name(self) -> str:
        """The map."""
        return self.map_name
