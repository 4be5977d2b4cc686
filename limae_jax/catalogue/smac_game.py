"""Settings that a worker process gets for a game of SMAC, as plain data that can be sent to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class GameSettings:
    """Settings of one worker's game of StarCraft II; see `environments.workers.game.GameSettings`.

    Attributes:
        game: "module:class" of the game that the worker plays.
        map_name: one of `smac_maps.SMAC_MAPS`.
        difficulty: level of the built-in enemy, "1" to "9" and "A"; the published protocol uses "7" ("very hard").
        step_mul: game loops per action; the game runs 22.4 per second.
        seed: seed of the game; each worker of a pool adds its number.
        timeout_s: seconds without an answer after which the game counts as hung. The pool waits a little longer
            before it gives up on the worker.
        options: further arguments of SMAC's constructor, such as `obs_last_action`.
        shows_units: whether the units are read at every step, for translation.
        env_factory: "module:function", called in the worker with these settings; it returns an object with the
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
