"""A game that knowledge of the team-mate decides: a positive control for methods that guess what team-mates see."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from limae_jax.config.codes import CLUES, CodesConfig, codes_sizes
from limae_jax.environments.base import spec_of
from limae_jax.types import Timestep


class CodesState(struct.PyTreeNode):
    """State of a `CodesGame`.

    Attributes:
        code: [2] int32, each agent's code.
        clues: [2, CLUES] int32; the sum of an agent's clues, modulo the number of codes, is its team-mate's code.
        step: [] int32.
        named: [] int32, how many agents named their team-mate's code at the end.
    """

    code: jax.Array
    clues: jax.Array
    step: jax.Array
    named: jax.Array


class CodesGame:
    """Two agents must name each other's hidden code; see `base.Environment`.

    Each agent sees its own code all the time. In the first steps it sees one clue each; the clues are uniformly random
    numbers whose sum, modulo K, is its team-mate's code, so none of them alone tells anything. At the step after the
    last clue each agent names a code, and the team's reward is the share of agents that are right. Earlier actions
    have no effect. The best return is 1; a team that ignores the clues gets 1 / K on average.

    An observation is [one-hot own code, one-hot clue or zeros, one-hot step]; the state is [both codes, step].
    """

    def __init__(self, config: CodesConfig):
        """Builds the game with `config.codes` codes."""
        self._codes = config.codes
        self.spec = spec_of(config.name, config.scenario, codes_sizes(config), outcome_names=("optimum",))

    def reset(self, key: jax.Array) -> tuple[CodesState, Timestep]:
        """Draws codes and clues; see `base.Environment.reset`."""
        code_key, clue_key = jax.random.split(key)
        code = jax.random.randint(code_key, (2,), 0, self._codes)
        clues = jax.random.randint(clue_key, (2, CLUES - 1), 0, self._codes)
        last = (code[::-1] - jnp.sum(clues, axis=1)) % self._codes
        clues = jnp.concatenate([clues, last[:, None]], axis=1)
        state = CodesState(code, clues, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
        return state, self._timestep(state, jnp.float32(0))

    def step(self, state: CodesState, action: jax.Array, key: jax.Array) -> tuple[CodesState, Timestep]:
        """Plays one joint action; see `base.Environment.step`."""
        is_end = state.step == CLUES
        named = jnp.sum(action == state.code[::-1]) * is_end
        after = state.replace(step=state.step + 1, named=named.astype(jnp.int32))
        return after, self._timestep(after, named / 2)

    def outcome(self, state: CodesState) -> dict[str, jax.Array]:
        """Whether both agents named the right code; see `base.Environment.outcome`."""
        return {"optimum": (state.named == 2).astype(jnp.float32)}

    def _timestep(self, state: CodesState, reward: jax.Array) -> Timestep:
        spec = self.spec
        own = jax.nn.one_hot(state.code, self._codes)
        # One-hot of an index out of range is zeros: no clue after the last one, no step after the end.
        clue = jnp.where(state.step < CLUES, jnp.take(state.clues, state.step, axis=1, mode="clip"), -1)
        step = jax.nn.one_hot(state.step, CLUES + 1)
        obs = jnp.concatenate([own, jax.nn.one_hot(clue, self._codes), jnp.tile(step, (2, 1))], axis=-1)
        return Timestep(
            obs=obs,
            state=jnp.concatenate([jnp.ravel(own), step]),
            avail=jnp.ones((spec.num_agents, spec.num_actions), bool),
            alive=jnp.ones(spec.num_agents, bool),
            reward=jnp.asarray(reward, jnp.float32),
            is_first=state.step == 0,
            terminal=state.step > CLUES,
            truncated=jnp.zeros((), bool),
        )
