"""The one interface between a game and everything else: pure functions over stacked arrays."""

from __future__ import annotations

from typing import Any, Protocol

import jax

from limae_jax.catalogue.scenarios import Sizes
from limae_jax.types import ActionSpec, EnvSpec, PyTree, Timestep


def spec_of(name: str, scenario: str, sizes: Sizes, **more: Any) -> EnvSpec:
    """The description of a game with numbered actions.

    Args:
        name, scenario: of the game.
        sizes: as the catalogue has them.
        more: further fields of `EnvSpec`.
    """
    of_spec = {field: size for field, size in sizes._asdict().items() if field != "num_actions"}
    return EnvSpec(name=name, scenario=scenario, actions=ActionSpec(sizes.num_actions), **of_spec, **more)


class Environment(Protocol):
    """A cooperative game of one team. All methods are pure and can be jitted and vmapped.

    `step` never resets: at an episode's end it returns the final observation with `terminal` or `truncated` set, and
    must not be called again before `reset`. `environments.vector.VectorEnv` resets on the step after.
    """

    spec: EnvSpec

    def reset(self, key: jax.Array) -> tuple[PyTree, Timestep]:
        """Starts an episode; `is_first` is True, `reward` 0."""
        ...

    def step(self, state: PyTree, action: jax.Array, key: jax.Array) -> tuple[PyTree, Timestep]:
        """Plays one joint action.

        Args:
            state: from `reset` or `step`.
            action: [A] int32, legal in the last timestep's `avail`.
            key: randomness of this step.
        """
        ...

    def outcome(self, state: PyTree) -> dict[str, jax.Array]:
        """What the episode came to so far, one float32 scalar for each of `spec.outcome_names`.

        Read from the game's state, not from rewards: "win" is 1 if every enemy is dead and an ally lives.
        """
        ...
