"""Random play, compiled once for each configuration."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.config import EnvConfig
from limae_jax.environments import make_env
from limae_jax.environments.base import Environment
from limae_jax.environments.vector import VectorEnv
from limae_jax.types import Timestep

NUM_ENVS = 8
# Here compilation is the cost, not play.
_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


class Play(NamedTuple):
    """What happened, leaves [T, B, ...]: `actions[t]` and `keys[t]` lead from `timesteps[t]` to `timesteps[t + 1]`."""

    states: Any
    timesteps: Timestep
    actions: np.ndarray
    keys: jax.Array
    outcomes: dict[str, np.ndarray]


class Player(NamedTuple):
    env: Environment
    play: Callable[[jax.Array], Play]


@functools.cache
def _player(config: EnvConfig, num_steps: int) -> Player:
    env = make_env(config)
    copies = VectorEnv(env, NUM_ENVS)

    def advance(carry, keys):
        states, timestep = carry
        action = jax.random.categorical(keys[0], jnp.where(timestep.avail, 0.0, -jnp.inf))
        record = Play(states, timestep, action, keys[1], copies.outcome(states))
        return copies.step(states, timestep, action, keys[1]), record

    @_jit
    def play(key):
        return jax.lax.scan(advance, copies.reset(key), jax.random.split(key, (num_steps, 2)))[1]

    def play_on_host(key):
        record = play(key)
        return jax.tree.map(np.asarray, record._replace(keys=None))._replace(keys=record.keys)

    return Player(env, play_on_host)


@pytest.fixture(scope="session")
def player() -> Callable[..., Player]:
    """`player(config, num_steps)` gives the environment and a function that plays it at random from a key."""
    return _player


@pytest.fixture(scope="session")
def jit() -> Callable[..., Any]:
    """`jax.jit` that compiles quickly."""
    return _jit
