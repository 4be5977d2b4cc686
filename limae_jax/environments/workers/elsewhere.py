"""A placeholder, for the training loop, for a game that runs in worker processes."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from limae_jax.types import EnvSpec, Timestep


class PlayedElsewhere:
    """Stands in for a game that runs in worker processes; see `base.Environment`.

    Has the game's sizes and returns blank first timesteps, enough to allocate memory and initialise.
    `rollouts.host_player` plays the game.
    """

    def __init__(self, spec: EnvSpec):
        self.spec = spec

    def reset(self, key: jax.Array) -> tuple[tuple[()], Timestep]:
        """Returns a blank first timestep."""
        return (), self._blank()

    def step(self, state: tuple[()], action: jax.Array, key: jax.Array) -> tuple[tuple[()], Timestep]:
        """Returns the same blank timestep: nothing is played here."""
        return (), self._blank()

    def outcome(self, state: tuple[()]) -> dict[str, jax.Array]:
        """Returns zeros."""
        return {name: jnp.zeros(()) for name in self.spec.outcome_names}

    def _blank(self) -> Timestep:
        spec, no = self.spec, jnp.zeros((), bool)
        return Timestep(
            obs=jnp.zeros((spec.num_agents, spec.obs_size)),
            state=jnp.zeros(spec.state_size),
            avail=jnp.ones((spec.num_agents, spec.num_actions), bool),
            alive=jnp.ones(spec.num_agents, bool),
            reward=jnp.zeros(()),
            is_first=~no,
            terminal=no,
            truncated=no,
        )
