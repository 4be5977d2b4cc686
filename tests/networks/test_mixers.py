import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import TINY_ENV, noise_like, tiny_config
from reference import qmix_value

from limae_jax.networks.mixers import MIXERS, MixerInputs, QmixMixer, VdnMixer

NUM_AGENTS, STATE = 3, 5
MIXER = QmixMixer(embed_dim=4, hypernet_dim=6)


def _inputs(q, state) -> MixerInputs:
    """For mixers that go by the chosen utilities and the state."""
    return MixerInputs(q, q, jnp.zeros(q.shape, jnp.int32), state, {})


mix = jax.jit(lambda params, q, state: MIXER.apply(params, _inputs(q, state)))
slopes = jax.jit(jax.grad(lambda params, q, state: jnp.sum(MIXER.apply(params, _inputs(q, state))), argnums=1))
NOISE = np.random.default_rng(1)
STATES = NOISE.normal(size=(7, 2, STATE)).astype(np.float32)
CHOSEN = 3 * NOISE.normal(size=(7, 2, NUM_AGENTS)).astype(np.float32)


def _params(seed: int, scale: float = 1.0, num_agents: int = NUM_AGENTS):
    shapes = jax.eval_shape(MIXER.init, jax.random.key(0), _inputs(CHOSEN[..., :num_agents], STATES))
    return noise_like(shapes, seed, scale)


def test_vdn_is_the_sum():
    mixer = VdnMixer()
    params = mixer.init(jax.random.key(0), _inputs(CHOSEN, STATES))
    assert not jax.tree.leaves(params)
    np.testing.assert_allclose(mixer.apply(params, _inputs(CHOSEN, STATES)), np.asarray(CHOSEN).sum(axis=-1), rtol=1e-6)


def test_qmix_equals_the_numpy_mixer():
    params = _params(3)
    values = mix(params, CHOSEN, STATES)
    expected = [[qmix_value(params, CHOSEN[t, b], STATES[t, b]) for b in range(2)] for t in range(7)]
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)
    # Both branches of the ELU are met, or the comparison would not know them apart.
    assert (CHOSEN < -2).any() and np.std(expected) > 0.1


def test_qmix_is_an_elu_between_two_layers():
    """By hand: one agent, hypernetworks that ignore the state, so that Q_tot = 3 ELU(2 q + 1) - 1."""
    mixer, state = QmixMixer(1, 1), jnp.zeros((1, 1, 2))
    shapes = jax.eval_shape(mixer.init, jax.random.key(0), _inputs(jnp.zeros((1, 1, 1)), state))
    params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    for name, bias in {"w1": -2.0, "b1": 1.0, "w2": 3.0, "b2": -1.0}.items():
        params["params"][name]["bias"][:] = bias
    for q in (-2.0, 0.5):
        value = mixer.apply(params, _inputs(jnp.full((1, 1, 1), q), state))
        expected = 3 * nn.elu(2 * q + 1) - 1
        np.testing.assert_allclose(value, [[expected]], rtol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_qmix_is_monotone_in_every_utility(seed):
    scale = (0.1, 1.0, 3.0)[seed % 3]
    grad = slopes(_params(seed, scale), scale * CHOSEN, STATES * (1 + seed))
    assert jnp.all(grad >= 0) and jnp.any(grad > 0)


def test_greedy_agents_make_the_greedy_team():
    """IGM: each agent's best action gives the best of all joint actions, by enumeration."""
    num_actions, state = 3, STATES[:1, :1]
    for seed in range(10):
        params = _params(seed, num_agents=2)
        q = np.random.default_rng(100 + seed).normal(size=(2, num_actions)).astype(np.float32)
        joint = list(itertools.product(range(num_actions), repeat=2))
        chosen = np.array([[[q[0, a], q[1, b]]] for a, b in joint])
        values = mix(params, chosen, np.broadcast_to(state, (len(joint), 1, STATE)))
        assert joint[int(np.argmax(values))] == tuple(np.argmax(q, axis=-1))


def test_values_depend_on_the_state():
    params = _params(5)
    values = mix(params, CHOSEN, STATES)
    assert np.abs(values - mix(params, CHOSEN, STATES[::-1])).max() > 1e-2


def test_gradient_reaches_every_hypernetwork():
    loss = jax.jit(jax.grad(lambda params: jnp.sum(jnp.square(MIXER.apply(params, _inputs(CHOSEN, STATES))))))
    grads = loss(_params(6))
    assert set(grads["params"]) == {"w1", "w1_hidden", "w2", "w2_hidden", "b1", "b2", "b2_hidden"}
    for layer in grads["params"].values():
        assert all(np.abs(leaf).max() > 1e-6 for leaf in layer.values())


def test_sizes_come_from_the_settings():
    mixer = MIXERS["qmix"](tiny_config(mixer={"embed_dim": 7, "hypernet_dim": 9}).mixer, TINY_ENV)
    params = jax.eval_shape(mixer.init, jax.random.key(0), _inputs(CHOSEN, STATES))["params"]
    assert params["w1_hidden"]["kernel"].shape == (STATE, 9)
    assert params["w1"]["kernel"].shape == (9, NUM_AGENTS * 7)
    assert params["b2_hidden"]["kernel"].shape == (STATE, 7)
