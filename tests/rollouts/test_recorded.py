"""Rows keep what a system records, rewards of each agent, and actions that are vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.config import TrainConfig
from limae_jax.environments.vector import VectorEnv
from limae_jax.errors import InputError
from limae_jax.rollouts.rollout import collect_rows, init_rollout
from limae_jax.systems.base import Acted, ActorCarry, System
from limae_jax.systems.build import build_system
from limae_jax.types import ActionSpec, EnvSpec, Timestep

AGENTS, SIZE, LENGTH = 2, 3, 2


class Reach:
    """Each agent is paid for the sum of its own vector; a game has two steps."""

    spec = EnvSpec("reach", "reach", AGENTS, 1, 1, ActionSpec(SIZE, (-1.0, 1.0)), LENGTH)

    def reset(self, key):
        return jnp.int32(0), self._seen(jnp.int32(0), jnp.zeros(AGENTS))

    def step(self, state, action, key):
        return state + 1, self._seen(state + 1, jnp.sum(action, axis=-1))

    def outcome(self, state):
        return {}

    def _seen(self, step, reward):
        return Timestep(
            obs=jnp.full((AGENTS, 1), step, jnp.float32),
            state=jnp.full(1, step, jnp.float32),
            avail=jnp.ones((AGENTS, SIZE), bool),
            alive=jnp.ones(AGENTS, bool),
            reward=jnp.sum(reward),
            is_first=step == 0,
            terminal=step == LENGTH,
            truncated=jnp.zeros((), bool),
            agent_reward=reward,
        )


def _act(params, carry, timestep, exploration, key):
    action = jax.random.uniform(key, (*timestep.alive.shape, SIZE), minval=-1.0)
    return Acted(action, carry, {"log_prob": jnp.sum(action, axis=-1) * 10})


SYSTEM = System(
    init=lambda key: None,
    initial_carry=lambda rows: ActorCarry((), jnp.zeros((rows, AGENTS, SIZE))),
    act=_act,
    exploration=lambda counters: jnp.ones(()),
    after_iteration=lambda state, *_: state,
    phases=(),
)


def test_rows_keep_vectors_rewards_of_agents_and_what_is_recorded():
    env = VectorEnv(Reach(), 3)
    state = init_rollout(env, SYSTEM, jax.random.key(0))
    _, rows, sums = collect_rows(env, SYSTEM, {}, state, jnp.ones(()), 5, jax.random.key(1), jax.random.key(2))
    filled = np.asarray(rows.filled)
    # Two steps, the final observation, two steps, the final observation as the row's last slot.
    assert filled[:, 0].tolist() == [True, True, False, True, True, False] and sums["env_steps"] == 4 * 3
    assert rows.action.shape == (6, 3, AGENTS, SIZE) and rows.action.dtype == jnp.float32
    paid = np.where(filled[..., None], np.sum(rows.action, axis=-1), 0.0)
    np.testing.assert_allclose(rows.agent_reward, paid, rtol=1e-6)
    np.testing.assert_allclose(rows.reward, paid.sum(axis=-1), rtol=1e-5, atol=1e-6)
    assert rows.extras.keys() == {"log_prob"} and rows.extras["log_prob"].shape == (6, 3, AGENTS)
    np.testing.assert_allclose(rows.extras["log_prob"][:-1], 10 * np.sum(rows.action, axis=-1)[:-1], rtol=1e-5)
    np.testing.assert_array_equal(rows.extras["log_prob"][-1], 0.0)


def test_a_learner_of_values_refuses_vectors():
    with pytest.raises(InputError, match="system=qmix: needs discrete actions, and those of env=reach are vectors"):
        build_system(TrainConfig(), Reach.spec)
