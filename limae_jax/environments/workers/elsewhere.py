"""The shape of a game that is played elsewhere, for the training loop."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from limae_jax.types import EnvSpec, Timestep


class PlayedElsewhere:
    """Stands in for a game that runs in processes of its own; see `base.Environment`.

    It knows the sizes, and its timesteps are blank beginnings: enough to lay out memory and to start from. Playing is
    `rollouts.host_player`'s.
    """

    def __init__(self, spec: EnvSpec):
        self.spec = spec

    def reset(self, key: jax.Array) -> tuple[tuple[()], Timestep]:
        """A blank first timestep."""
        return (), self._blank()

    def step(self, state: tuple[()], action: jax.Array, key: jax.Array) -> tuple[tuple[()], Timestep]:
        """The same again: nothing is played here."""
        return (), self._blank()

    def outcome(self, state: tuple[()]) -> dict[str, jax.Array]:
        """Nothing happens here."""
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
