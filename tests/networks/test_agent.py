import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import TINY_ENV, made_up_rows, marks, noise_like, tiny_config
from reference import row_utilities

from limae_jax.networks.agent import AgentInputs, GruAgent, InputLayer
from limae_jax.systems.build import build_system
from limae_jax.types import Timestep

NUM_SLOTS, HIDDEN = 12, 8
BATCH = made_up_rows(
    3,
    [marks([(4, True), (9, False)], NUM_SLOTS), marks([(6, False), (3, True)], NUM_SLOTS, skip=3)],
    hidden_size=HIDDEN,
)
AGENT = GruAgent(TINY_ENV.num_actions, HIDDEN)
unroll = jax.jit(AGENT.apply)


@pytest.fixture(scope="module")
def system():
    return build_system(tiny_config("vdn"), TINY_ENV)


@pytest.fixture(scope="module")
def params(system):
    return noise_like(jax.eval_shape(system.init, jax.random.key(0)).params, seed=1, scale=0.4)


def _inputs() -> AgentInputs:
    before = jnp.concatenate([BATCH.start.last_action[None], BATCH.action[:-1]])
    return AgentInputs(BATCH.obs, jnp.where(BATCH.is_first[..., None], -1, before), BATCH.is_first)


def test_input_layer_is_a_dense_layer_on_the_wide_input():
    layer, inputs = InputLayer(HIDDEN, TINY_ENV.num_actions), _inputs()
    params = noise_like(jax.eval_shape(layer.init, jax.random.key(1), inputs), seed=2)
    last_action = np.asarray(inputs.last_action)
    one_hot = np.zeros((*last_action.shape, TINY_ENV.num_actions))
    for index in np.ndindex(*last_action.shape):
        if last_action[index] >= 0:
            one_hot[index][last_action[index]] = 1
    ids = np.broadcast_to(np.eye(TINY_ENV.num_agents), (*last_action.shape, TINY_ENV.num_agents))
    wide = np.concatenate([inputs.obs, one_hot, ids], axis=-1)
    expected = np.maximum(wide @ params["params"]["kernel"] + params["params"]["bias"], 0)
    np.testing.assert_allclose(layer.apply(params, inputs), expected, atol=1e-5)


def test_equals_the_numpy_agent(params):
    carry, q, features = unroll(params["agent"], BATCH.start.hidden, _inputs())
    np.testing.assert_allclose(q, row_utilities(params["agent"], BATCH), atol=1e-5)
    np.testing.assert_array_equal(carry, features["hidden"][-1])
    assert q.shape == (NUM_SLOTS, 2, TINY_ENV.num_agents, TINY_ENV.num_actions)


def test_unrolling_a_stored_row_equals_acting_step_by_step(system, params):
    """Acting goes through `System.act`, whose greedy action and carry must be those of the stored row's slots."""
    act = jax.jit(system.act)
    timesteps = Timestep(
        BATCH.obs, BATCH.state, BATCH.avail, BATCH.alive, BATCH.reward, BATCH.is_first, BATCH.terminal, BATCH.truncated
    )
    carry, hidden, actions = BATCH.start, [], []
    for t in range(NUM_SLOTS):
        timestep = jax.tree.map(lambda x, t=t: x[t], timesteps)
        acted = act(params, carry, timestep, 0.0, jax.random.key(t))
        action, carry = acted.action, acted.carry
        hidden.append(carry.hidden)
        actions.append(action)
        assert carry.last_action is action or np.array_equal(carry.last_action, action)
    row_is_first = jnp.asarray(BATCH.is_first)[..., None]
    before = jnp.concatenate([BATCH.start.last_action[None], jnp.stack(actions)[:-1]])
    inputs = AgentInputs(BATCH.obs, jnp.where(row_is_first, -1, before), BATCH.is_first)
    _, q, features = unroll(params["agent"], BATCH.start.hidden, inputs)
    np.testing.assert_allclose(features["hidden"], np.stack(hidden), atol=1e-5)
    np.testing.assert_array_equal(jnp.argmax(jnp.where(BATCH.avail, q, -jnp.inf), axis=-1), np.stack(actions))


def test_an_episode_start_resets_every_agent_and_only_there(params):
    inputs, slot = _inputs(), 5
    is_first = jnp.zeros((NUM_SLOTS, 2), bool).at[slot, 0].set(True)
    inputs = inputs.replace(is_first=is_first)
    _, q, _ = unroll(params["agent"], BATCH.start.hidden, inputs)
    _, other, _ = unroll(params["agent"], BATCH.start.hidden + 1.0, inputs)
    differs = np.abs(q - other).max(axis=-1) > 1e-6
    assert differs[:slot].all() and differs[slot, 1].all()
    assert not differs[slot:, 0].any()


def test_agents_differ_only_through_what_they_read(params):
    """Rows of the input kernel that belong to the id are all that tells two agents apart."""
    same = jnp.broadcast_to(BATCH.obs[:, :, :1], BATCH.obs.shape)
    inputs = AgentInputs(same, jnp.zeros(same.shape[:-1], jnp.int32), BATCH.is_first)
    start = jnp.broadcast_to(BATCH.start.hidden[:, :1], BATCH.start.hidden.shape)
    _, q, _ = unroll(params["agent"], start, inputs)
    assert np.abs(q[:, :, 0] - q[:, :, 1]).max() > 1e-3
    blind = jax.tree.map(jnp.copy, params["agent"])
    kernel = blind["params"]["input"]["kernel"]
    blind["params"]["input"]["kernel"] = kernel.at[-TINY_ENV.num_agents :].set(0.0)
    _, q, _ = unroll(blind, start, inputs)
    np.testing.assert_array_equal(q[:, :, 0], q[:, :, 1])


def test_one_agent_does_not_see_another(params):
    inputs = _inputs()
    _, q, _ = unroll(params["agent"], BATCH.start.hidden, inputs)
    _, other, _ = unroll(params["agent"], BATCH.start.hidden, inputs.replace(obs=inputs.obs.at[:, :, 1].add(1.0)))
    np.testing.assert_array_equal(q[:, :, 0], other[:, :, 0])
    assert np.abs(q[:, :, 1] - other[:, :, 1]).max() > 1e-3
