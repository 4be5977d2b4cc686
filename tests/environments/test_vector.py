import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from limae_jax.environments.vector import VectorEnv
from limae_jax.types import ActionSpec, EnvSpec, Timestep


@struct.dataclass
class Count:
    """`count` goes up to `length`, drawn at each episode's start; every action is added to `total`."""

    count: jax.Array
    length: jax.Array
    total: jax.Array


class Counting:
    spec = EnvSpec("counting", "counting", 1, 1, 1, ActionSpec(2), 9, ("total",))

    def reset(self, key):
        state = Count(jnp.int32(0), jax.random.randint(key, (), 2, 9), jnp.int32(0))
        return state, self._timestep(state, 0.0, True)

    def step(self, state, action, key):
        state = state.replace(count=state.count + 1, total=state.total + action[0])
        return state, self._timestep(state, 1.0, False)

    def outcome(self, state):
        return {"total": state.total.astype(jnp.float32)}

    def _timestep(self, state, reward, is_first):
        view = jnp.stack([state.count]).astype(jnp.float32)
        ended = state.count >= state.length
        flags = dict(is_first=jnp.array(is_first), terminal=ended & (state.length > 4))
        flags["truncated"] = ended & ~flags["terminal"]
        return Timestep(view[None], view, jnp.ones((1, 2), bool), jnp.ones(1, bool), jnp.float32(reward), **flags)


def _history(num_steps=60, num_envs=5):
    copies = VectorEnv(Counting(), num_envs)
    step = jax.jit(copies.step)
    states, timestep = copies.reset(jax.random.key(0))
    history = [(states, timestep)]
    for index in range(num_steps):
        action = jnp.full((num_envs, 1), 1 + index, jnp.int32)
        states, timestep = step(states, timestep, action, jax.random.key(index + 1))
        history.append((states, timestep))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *history)


def test_only_ended_copies_are_reset_and_the_others_step():
    states, steps = _history()
    counts, is_last = states.count, steps.is_last
    np.testing.assert_array_equal(counts[1:], np.where(is_last[:-1], 0, counts[:-1] + 1))
    np.testing.assert_array_equal(steps.is_first[1:], is_last[:-1])
    np.testing.assert_array_equal(is_last, counts == states.length)
    assert steps.terminal.any() and steps.truncated.any()
    # Copies end at different times, so that each kind of step was met beside the other.
    assert (is_last.any(axis=1) & ~is_last.all(axis=1)).sum() > 10


def test_the_final_observation_is_seen_and_the_reset_is_no_transition():
    states, steps = _history()
    is_last = steps.is_last
    np.testing.assert_array_equal(steps.obs[:, :, 0, 0][is_last], states.length[is_last])
    np.testing.assert_array_equal(steps.reward, np.where(steps.is_first, 0.0, 1.0))
    # The action taken at a final observation is not played, in the old episode nor in the new one.
    actions = 1 + np.arange(len(is_last) - 1)[:, None]
    np.testing.assert_array_equal(states.total[1:], np.where(is_last[:-1], 0, states.total[:-1] + actions))


def test_copies_have_their_own_randomness():
    copies = VectorEnv(Counting(), 8)
    states, timestep = copies.reset(jax.random.key(0))
    assert len(set(states.length.tolist())) > 2
    # So too when they all start again at once.
    ended = timestep.replace(terminal=jnp.ones(8, bool))
    states, _ = copies.step(states, ended, jnp.zeros((8, 1), jnp.int32), jax.random.key(1))
    assert len(set(states.length.tolist())) > 2


def test_same_keys_same_history():
    jax.tree.map(np.testing.assert_array_equal, _history(20), _history(20))


def test_outcome_is_that_of_each_copy():
    copies = VectorEnv(Counting(), 3)
    states, _ = copies.reset(jax.random.key(0))
    outcome = copies.outcome(states.replace(total=jnp.array([4, 5, 6])))
    np.testing.assert_array_equal(outcome["total"], [4.0, 5.0, 6.0])
    assert copies.spec is Counting.spec and copies.num_envs == 3
