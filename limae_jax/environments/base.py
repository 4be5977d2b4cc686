"""The environment interface: pure functions over stacked arrays."""

from __future__ import annotations

from typing import Any, Protocol

import jax

from limae_jax.catalogue.scenarios import Sizes
from limae_jax.types import ActionSpec, EnvSpec, PyTree, Timestep


def spec_of(name: str, scenario: str, sizes: Sizes, **more: Any) -> EnvSpec:
    """Returns the spec of a game with discrete actions.

    Args:
        name, scenario: names of the environment and the scenario.
        sizes: sizes from the catalogue.
        more: further fields of `EnvSpec`.
    """
    of_spec = {field: size for field, size in sizes._asdict().items() if field != "num_actions"}
    return EnvSpec(name=name, scenario=scenario, actions=ActionSpec(sizes.num_actions), **of_spec, **more)


class Environment(Protocol):
    """A cooperative game for one team. All methods are pure and can be jitted and vmapped.

    `step` never resets: at the end of an episode it returns the final observation with `terminal` or `truncated` set,
    and must not be called again before `reset`. `environments.vector.VectorEnv` resets on the following step.
    """

    spec: EnvSpec

    def reset(self, key: jax.Array) -> tuple[PyTree, Timestep]:
        """Starts an episode; `is_first` is True, `reward` is 0."""
        ...

    def step(self, state: PyTree, action: jax.Array, key: jax.Array) -> tuple[PyTree, Timestep]:
        """Plays one joint action.

        Args:
            state: from `reset` or `step`.
            action: [A] int32, legal in the last timestep's `avail`.
            key: random key of this step.
        """
        ...

    def outcome(self, state: PyTree) -> dict[str, jax.Array]:
        """Returns the episode's outcome so far, one float32 scalar for each of `spec.outcome_names`.

        Computed from the game's state, not from rewards: "win" is 1 if every enemy is dead and an ally is alive.
        """
        ...
