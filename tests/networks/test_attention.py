import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import noise_like

from limae_jax.networks.attention import Beliefs, TeamAttention

pytestmark = pytest.mark.slow

NUM_STEPS, NUM_ROWS, NUM_FEATURES, DECODED, WIDTH = 2, 3, 5, 4, 6


def _normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _beliefs(num_agents: int, num_read: int) -> Beliefs:
    lead = (NUM_STEPS, NUM_ROWS, num_agents)
    return Beliefs(
        _normal(1, *lead, num_read * NUM_FEATURES),
        _normal(2, *lead, num_agents - 1, num_read * DECODED),
        _normal(3, DECODED, NUM_FEATURES),
    )


def _with_status(beliefs: Beliefs) -> Beliefs:
    """Beliefs with an offset, and with team-mates of whom some are believed dead."""
    lead = beliefs.decoded.shape[:4]
    return beliefs.replace(
        offset=_normal(6, NUM_STEPS, NUM_ROWS, beliefs.own.shape[-1]), log_alive=-np.abs(_normal(7, *lead))
    )


def _written_out(beliefs: Beliefs) -> jax.Array:
    """[T, B, A, A, R F] what each agent (first) holds to be the window of each: its own, and reconstructions."""
    num_agents = beliefs.own.shape[2]
    if beliefs.decoded is None or beliefs.head is None:
        return jnp.stack([beliefs.own] * num_agents, axis=2)
    rows = []
    for viewer in range(num_agents):
        windows, mates = [], iter(range(num_agents - 1))
        for viewed in range(num_agents):
            if viewed == viewer:
                windows.append(beliefs.own[:, :, viewer])
            else:
                steps = jnp.split(beliefs.decoded[:, :, viewer, next(mates)], beliefs.decoded.shape[-1] // DECODED, -1)
                window = jnp.concatenate([step @ beliefs.head for step in steps], axis=-1)
                windows.append(window if beliefs.offset is None else window + beliefs.offset)
        rows.append(jnp.stack(windows, axis=2))
    return jnp.stack(rows, axis=2)


def _naive(params, beliefs: Beliefs) -> tuple[jax.Array, jax.Array]:
    """The formula, over reconstructions that are written out."""
    kernels, believed = params["params"], _written_out(beliefs)
    query = jnp.einsum("tbif,fd->tbid", beliefs.own, kernels["query"])
    scores = jnp.einsum("tbid,tbijf,fd->tbij", query, believed, kernels["key"]) / np.sqrt(WIDTH)
    alive = jnp.ones(scores.shape)
    if beliefs.log_alive is not None:
        for viewer in range(scores.shape[-1]):
            mates = np.delete(np.arange(scores.shape[-1]), viewer)
            alive = alive.at[:, :, viewer, mates].set(jnp.exp(beliefs.log_alive[:, :, viewer]))
    weights = alive * jnp.exp(scores) / jnp.sum(alive * jnp.exp(scores), axis=-1, keepdims=True)
    return jnp.einsum("tbij,tbijf,fd->tbid", weights, believed, kernels["value"]), weights


_attend = jax.jit(TeamAttention(WIDTH).apply)


@functools.cache
def _params(num_features: int):
    shapes = jax.eval_shape(TeamAttention(WIDTH).init, jax.random.key(0), Beliefs(jnp.zeros((1, 1, 2, num_features))))
    assert set(shapes["params"]) == {"query", "key", "value"}
    return noise_like(shapes, seed=4, scale=0.3)


def _assert_same(beliefs: Beliefs) -> None:
    """Values, and gradients of the parameters and of everything believed, of a loss that weighs each output."""
    of_context, of_weights = _normal(5, *beliefs.own.shape[:3], WIDTH), _normal(6, *beliefs.own.shape[:3], 1)

    def loss(attend, params, beliefs):
        context, weights = attend(params, beliefs)
        total = jnp.sum(of_context * jnp.square(context)) + jnp.sum(of_weights * jnp.square(weights))
        return total, (context, weights)

    def run(attend):
        grad = jax.jit(jax.value_and_grad(functools.partial(loss, attend), argnums=(0, 1), has_aux=True))
        return grad(_params(beliefs.own.shape[-1]), beliefs)

    (_, outputs), gradients = run(_attend)
    (_, expected), expected_gradients = run(_naive)
    for mine, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected_gradients), strict=True):
        if beliefs.own.shape[2] > 1:
            assert np.abs(theirs).max() > 1e-2
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("num_agents, num_read", [(1, 1), (2, 1), (4, 2)])
def test_equals_attention_over_reconstructions_written_out(num_agents, num_read):
    _assert_same(_beliefs(num_agents, num_read))


@pytest.mark.parametrize("num_agents, num_read", [(2, 1), (4, 2)])
def test_standardised_features_and_survival_equal_the_same_written_out(num_agents, num_read):
    _assert_same(_with_status(_beliefs(num_agents, num_read)))


def test_those_believed_dead_are_not_read():
    """An agent that is sure of all deaths reads itself alone, whatever it believes of the dead."""
    beliefs, params = _with_status(_beliefs(3, 2)), _params(2 * NUM_FEATURES)
    context, weights = _attend(params, beliefs.replace(log_alive=jnp.full(beliefs.log_alive.shape, -1e9)))
    np.testing.assert_array_equal(weights, np.broadcast_to(np.eye(3), weights.shape))
    np.testing.assert_allclose(context, beliefs.own @ params["params"]["value"], rtol=1e-5, atol=1e-6)


def test_the_newest_step_comes_first_and_has_the_offset():
    beliefs = _with_status(_beliefs(3, 2))
    written = _written_out(beliefs)
    for viewer, mates in enumerate(([1, 2], [0, 2], [0, 1])):
        np.testing.assert_allclose(
            beliefs.newest()[:, :, viewer], written[:, :, viewer, mates, :NUM_FEATURES], rtol=1e-5, atol=1e-5
        )


def test_the_oracle_equals_attention_over_the_true_windows():
    _assert_same(Beliefs(_beliefs(3, 2).own))


@pytest.mark.parametrize("is_oracle", [False, True])
def test_weights_are_positive_and_sum_to_1(is_oracle):
    beliefs = _beliefs(3, 2)
    _, weights = _attend(_params(2 * NUM_FEATURES), Beliefs(beliefs.own) if is_oracle else beliefs)
    assert weights.shape == (NUM_STEPS, NUM_ROWS, 3, 3)
    np.testing.assert_allclose(np.sum(weights, axis=-1), 1.0, atol=1e-6)
    assert np.min(weights) > 0 and np.ptp(weights) > 0.1


def test_an_agent_alone_attends_to_itself():
    beliefs, params = _beliefs(1, 2), _params(2 * NUM_FEATURES)
    for one in (beliefs, Beliefs(beliefs.own)):
        context, weights = _attend(params, one)
        np.testing.assert_array_equal(weights, 1.0)
        np.testing.assert_allclose(context, beliefs.own @ params["params"]["value"], rtol=1e-5, atol=1e-6)


def test_weights_are_in_the_agents_order():
    """One feature, kernels and head 1: agent i, whose own window is 1, scores a team-mate by what it decodes of it."""
    params = {"params": {name: jnp.ones((1, 1)) for name in ("query", "key", "value")}}
    # Agent i sees ln 10 in agent j where i < j, ln 100 where i > j, and 1 = ln e in itself.
    decoded = jnp.log(jnp.asarray([[10.0, 10.0], [100.0, 10.0], [100.0, 100.0]]))
    beliefs = Beliefs(jnp.ones((1, 1, 3, 1)), decoded[None, None, :, :, None], jnp.ones((1, 1)))
    context, weights = jax.jit(TeamAttention(1).apply)(params, beliefs)
    exponentials = np.array([[np.e, 10, 10], [100, np.e, 10], [100, 100, np.e]])
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weights[0, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(context[0, 0, :, 0], np.sum(expected * np.log(exponentials), axis=1), rtol=1e-5)


def test_an_agent_uses_nothing_of_what_others_believe():
    beliefs, params = _beliefs(3, 2), _params(2 * NUM_FEATURES)
    before = _attend(params, beliefs)
    for agent in range(3):
        here = np.arange(3) == agent
        moved = beliefs.replace(own=beliefs.own + here[:, None], decoded=beliefs.decoded + here[:, None, None])
        others = np.delete(np.arange(3), agent)
        for old, new in zip(before, _attend(params, moved), strict=True):
            np.testing.assert_array_equal(np.asarray(old)[:, :, others], np.asarray(new)[:, :, others])
            assert np.all(np.abs(np.asarray(old - new)[:, :, agent]).max(axis=-1) > 1e-4)
