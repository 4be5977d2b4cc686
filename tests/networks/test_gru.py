import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import noise_like

from limae_jax.networks.gru import Gates, Gru, gru_unroll

NUM_STEPS, NUM_ROWS, INPUT, HIDDEN = 9, 4, 5, 6


def _normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


IS_FIRST = np.random.default_rng(1).random((NUM_STEPS, NUM_ROWS)) < 0.3
IS_FIRST[0] = [True, False, True, False]
INPUTS, START = _normal(2, NUM_STEPS, NUM_ROWS, INPUT), _normal(3, NUM_ROWS, HIDDEN)


@pytest.fixture(scope="module")
def params():
    return noise_like(jax.eval_shape(Gru(HIDDEN).init, jax.random.key(0), START, INPUTS, IS_FIRST), seed=4, scale=0.5)


def _as_flax_cell(params):
    ours = params["params"]
    cell = {f"i{gate}": ours[f"input_{gate}"] for gate in "rzn"}
    cell |= {f"h{gate}": {"kernel": ours[f"recurrent_{gate}"]} for gate in "rzn"}
    cell["hn"]["bias"] = ours["recurrent_bias_n"]
    return {"params": cell}


def test_equals_flax_cell_with_resets(params):
    cell, cell_params, hidden, expected = jax.jit(nn.GRUCell(HIDDEN).apply), _as_flax_cell(params), START, []
    for t in range(NUM_STEPS):
        hidden = np.where(IS_FIRST[t][:, None], 0.0, hidden)
        hidden, _ = cell(cell_params, hidden, INPUTS[t])
        expected.append(hidden)
    states = Gru(HIDDEN).apply(params, START, INPUTS, IS_FIRST)
    np.testing.assert_allclose(states, np.stack(expected), atol=1e-5)


def test_an_episode_start_drops_the_state(params):
    is_first = np.zeros((NUM_STEPS, NUM_ROWS), bool)
    is_first[4, 1] = True
    unroll = jax.jit(Gru(HIDDEN).apply)
    states = unroll(params, START, INPUTS, is_first)
    elsewhere = unroll(params, START + 1, np.concatenate([INPUTS[:4] + 1, INPUTS[4:]]), is_first)
    np.testing.assert_array_equal(states[4:, 1], elsewhere[4:, 1])
    for row in (0, 2, 3):
        assert np.abs(states[4, row] - elsewhere[4, row]).max() > 1e-3
    assert np.abs(states[3, 1] - elsewhere[3, 1]).max() > 1e-3


def _plain_unroll(x, hidden, keep, w, bias_n):
    """The same equations, left to autodiff."""

    def body(h, inputs):
        x, keep = inputs
        h = h * keep
        r, z = nn.sigmoid(x.r + h @ w.r), nn.sigmoid(x.z + h @ w.z)
        n = jnp.tanh(x.n + r * (h @ w.n + bias_n))
        h = (1 - z) * n + z * h
        return h, h

    return jax.lax.scan(body, hidden, (x, keep))[1]


def _arguments(seed: int):
    gates = [_normal(seed + i, NUM_STEPS, NUM_ROWS, HIDDEN) for i in range(3)]
    kernels = [_normal(seed + 3 + i, HIDDEN, HIDDEN) * 0.5 for i in range(3)]
    return Gates(*gates), _normal(seed + 6, NUM_ROWS, HIDDEN), Gates(*kernels), _normal(seed + 7, HIDDEN)


def _gradients(unroll):
    """Gradients of x, hidden, w and bias_n of a loss that weighs every state of every step differently."""
    weights, keep = _normal(99, NUM_STEPS, NUM_ROWS, HIDDEN), np.where(IS_FIRST, 0.0, 1.0)[..., None]

    def loss(x, hidden, w, bias_n):
        return jnp.sum(weights * jnp.square(unroll(x, hidden, keep, w, bias_n)))

    return jax.grad(loss, argnums=(0, 1, 2, 3))


def _assert_close(ours, autodiff):
    for mine, theirs in zip(jax.tree.leaves(ours), jax.tree.leaves(autodiff), strict=True):
        assert np.abs(theirs).max() > 1e-3
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


def test_gradients_equal_autodiff():
    arguments = _arguments(20)
    _assert_close(jax.jit(_gradients(gru_unroll))(*arguments), jax.jit(_gradients(_plain_unroll))(*arguments))


def test_gradients_equal_autodiff_under_vmap():
    arguments = jax.tree.map(lambda *x: np.stack(x), *(_arguments(seed) for seed in (30, 40, 50)))
    ours, autodiff = (jax.jit(jax.vmap(_gradients(unroll)))(*arguments) for unroll in (gru_unroll, _plain_unroll))
    _assert_close(ours, autodiff)


def test_no_gradient_passes_an_episode_start():
    def late_states(hidden):
        x, _, w, bias_n = _arguments(60)
        keep = jnp.ones((NUM_STEPS, NUM_ROWS, 1)).at[3, 0].set(0.0)
        return jnp.sum(gru_unroll(x, hidden, keep, w, bias_n)[3:])

    grad = jax.jit(jax.grad(late_states))(START)
    np.testing.assert_array_equal(grad[0], 0)
    assert np.abs(grad[1:]).max() > 1e-4
