"""Small multi-stage matrix games with a known optimum."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from limae_jax.catalogue.matrix_games import build_game, matrix_sizes
from limae_jax.config import MatrixConfig
from limae_jax.environments.base import spec_of
from limae_jax.types import Timestep


class StageState(struct.PyTreeNode):
    """State of a `MatrixGame`.

    Attributes:
        stage: [] int32; equals the number of stages once the game is over.
        is_optimal: [] bool, whether every joint action so far was optimal.
    """

    stage: jax.Array
    is_optimal: jax.Array


class MatrixGame:
    """A `matrix_games.StageGame`; see `base.Environment`.

    Each agent's observation and the state are a one-hot encoding of the stage, and zeros once the game is over.
    Episodes always end terminal: there is no time limit and no randomness. Agents do not die.
    """

    def __init__(self, config: MatrixConfig):
        """Builds the game of `config.scenario`."""
        game = build_game(config)
        self._rewards = np.array(game.rewards, np.float32)
        self._next_stages = np.array(game.next_stages, np.int32)
        self._is_best = np.array(game.is_best)
        # Place values: the joint action's index is sum_i action_i * places_i.
        self._places = game.num_actions ** np.arange(game.num_agents, dtype=np.int32)[::-1]
        self.spec = spec_of(config.name, config.scenario, matrix_sizes(config), outcome_names=("optimum",))

    def reset(self, key: jax.Array) -> tuple[StageState, Timestep]:
        """Starts an episode; see `base.Environment.reset`."""
        state = StageState(jnp.zeros((), jnp.int32), jnp.ones((), bool))
        return state, self._timestep(state.stage, jnp.float32(0), is_first=jnp.ones((), bool))

    def step(self, state: StageState, action: jax.Array, key: jax.Array) -> tuple[StageState, Timestep]:
        """Plays one joint action; see `base.Environment.step`."""
        joint = jnp.sum(action * self._places)
        reward, stage, is_best = (
            jnp.asarray(table)[state.stage, joint] for table in (self._rewards, self._next_stages, self._is_best)
        )
        after = StageState(stage, state.is_optimal & is_best)
        return after, self._timestep(stage, reward, is_first=jnp.zeros((), bool))

    def outcome(self, state: StageState) -> dict[str, jax.Array]:
        """Whether the best return was reached or still can be; see `base.Environment.outcome`."""
        return {"optimum": state.is_optimal.astype(jnp.float32)}

    def _timestep(self, stage: jax.Array, reward: jax.Array, is_first: jax.Array) -> Timestep:
        spec, one_hot = self.spec, jax.nn.one_hot(stage, self.spec.state_size)
        return Timestep(
            obs=jnp.tile(one_hot, (spec.num_agents, 1)),
            state=one_hot,
            avail=jnp.ones((spec.num_agents, spec.num_actions), bool),
            alive=jnp.ones(spec.num_agents, bool),
            reward=reward,
            is_first=is_first,
            terminal=stage == spec.state_size,
            truncated=jnp.zeros((), bool),
        )
