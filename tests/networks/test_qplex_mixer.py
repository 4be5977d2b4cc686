"""QPLEX's mixer against the equations in numpy, and by enumeration of joint actions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import TINY_ENV, noise_like, tiny_config

from limae_jax.networks.mixers import MIXERS, MixerInputs, QplexMixer

AGENTS, ACTIONS, STATE = 2, 3, 5
STATES = np.random.default_rng(1).normal(size=(1, 1, STATE)).astype(np.float32)
JOINT = np.array(list(itertools.product(range(ACTIONS), repeat=AGENTS)))


def mixer_with(num_layers: int = 2) -> QplexMixer:
    return QplexMixer(hypernet_dim=6, num_heads=3, num_layers=num_layers, num_actions=ACTIONS)


def inputs_of(q: np.ndarray, action: np.ndarray, best: np.ndarray | None = None, state=STATES) -> MixerInputs:
    """Of utilities [A, U] and joint actions [N, A], each as a slot of its own: axes [N, 1, A]."""
    chosen = np.take_along_axis(np.broadcast_to(q, (len(action), *q.shape)), action[..., None], axis=-1)[..., 0]
    best = np.broadcast_to(q.max(axis=-1) if best is None else best, chosen.shape)
    states = np.broadcast_to(state, (len(action), 1, state.shape[-1]))
    return MixerInputs(chosen[:, None], best[:, None], jnp.asarray(action[:, None]), states, {})


def made_up(seed: int, num_layers: int = 2, scale: float = 1.0):
    mixer = mixer_with(num_layers)
    example = inputs_of(np.zeros((AGENTS, ACTIONS), np.float32), JOINT)
    return mixer, noise_like(jax.eval_shape(mixer.init, jax.random.key(0), example), seed, scale)


def utilities(seed: int) -> np.ndarray:
    return np.random.default_rng(100 + seed).normal(size=(AGENTS, ACTIONS)).astype(np.float32)


def dense(layer, x):
    return x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])


def head(params, name: str, index: int, num_layers: int, x: np.ndarray) -> np.ndarray:
    """One head's MLP, alone."""
    layers = params[name]
    width = np.asarray(layers["layer_0"]["bias"]).size // 3
    y = dense(layers["layer_0"], x)[index * width : (index + 1) * width]
    for number in range(1, num_layers):
        own = {key: np.asarray(value)[index] for key, value in layers[f"layer_{number}"].items()}
        y = dense(own, np.maximum(y, 0))
    return y


def by_hand(params, q: np.ndarray, action: np.ndarray, num_layers: int) -> float:
    params, state = params["params"], STATES[0, 0]

    def mlp(name):
        return dense(params[name], np.maximum(dense(params[f"{name}_hidden"], state), 0))

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    w, v = np.abs(mlp("w")), mlp("v")
    joint = np.concatenate([state, np.eye(ACTIONS)[action].ravel()])
    total = 0.0
    for agent in range(AGENTS):
        importance = sum(
            abs(head(params, "key", k, num_layers, state)[0])
            * sigmoid(head(params, "agent", k, num_layers, state)[agent])
            * sigmoid(head(params, "action", k, num_layers, joint)[agent])
            for k in range(3)
        )
        transformed, best = (w[agent] * x + v[agent] for x in (q[agent, action[agent]], q[agent].max()))
        total += transformed + (importance - 1) * (transformed - best)
    return total


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_it_equals_the_equations(num_layers):
    mixer, params = made_up(3, num_layers)
    q = utilities(0)
    values = mixer.apply(params, inputs_of(q, JOINT))[:, 0]
    np.testing.assert_allclose(values, [by_hand(params, q, action, num_layers) for action in JOINT], rtol=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_the_greedy_agents_make_the_greedy_team(seed):
    """IGM by enumeration, for small and for large weights; up to rounding, as a lambda may be nearly 0."""
    mixer, params = made_up(seed, scale=(0.1, 1.0, 3.0)[seed % 3])
    q = utilities(seed)
    values = np.asarray(mixer.apply(params, inputs_of(q, JOINT))[:, 0])
    greedy = values[[tuple(action) == tuple(q.argmax(axis=-1)) for action in JOINT]]
    assert greedy >= values.max() - 1e-5 * np.abs(values).max()
    assert np.sum(values < greedy - 1e-3) >= 4


def test_it_represents_what_no_monotone_mixer_can():
    """The value of an agent's second-best action depends on the others' actions, and its order changes with them."""
    orders = set()
    for seed in range(40):
        mixer, params = made_up(seed, scale=3.0)
        q = np.array([[1.0, 0.5, 0.0], [1.0, 0.5, 0.0]], np.float32)
        values = np.asarray(mixer.apply(params, inputs_of(q, JOINT))[:, 0]).reshape(ACTIONS, ACTIONS)
        orders |= {tuple(np.argsort(row)) for row in values[1:]}
    assert any(order != (2, 1, 0) for order in orders)


def test_the_advantages_give_the_agents_no_gradient():
    """dQ_tot/dQ_i is w_i, whatever lambda is; the best utility gets none."""
    mixer, params = made_up(5)
    inputs = inputs_of(utilities(5), JOINT)
    grads = jax.grad(lambda q: jnp.sum(mixer.apply(params, inputs.replace(chosen_q=q))))(inputs.chosen_q)
    layers = params["params"]
    w = np.abs(dense(layers["w"], np.maximum(dense(layers["w_hidden"], STATES[0, 0]), 0)))
    np.testing.assert_allclose(grads[:, 0], np.broadcast_to(w, (len(JOINT), AGENTS)), rtol=1e-4)
    of_best = jax.grad(lambda q: jnp.sum(mixer.apply(params, inputs.replace(best_q=q))))(inputs.best_q)
    assert not np.any(of_best)


def test_every_network_learns():
    mixer, params = made_up(6)
    inputs = inputs_of(utilities(6), JOINT)
    grads = jax.grad(lambda params: jnp.sum(jnp.square(mixer.apply(params, inputs))))(params)["params"]
    assert set(grads) == {"w", "w_hidden", "v", "v_hidden", "key", "agent", "action"}
    assert all(np.abs(leaf).max() > 1e-6 for leaf in jax.tree.leaves(grads))


def test_sizes_come_from_the_settings():
    settings = tiny_config("qplex", mixer={"hypernet_dim": 9, "num_heads": 5, "num_layers": 3}).mixer
    mixer = MIXERS["qplex"](settings, TINY_ENV)
    example = inputs_of(np.zeros((TINY_ENV.num_agents, TINY_ENV.num_actions), np.float32), JOINT)
    params = jax.eval_shape(mixer.init, jax.random.key(0), example)["params"]
    joint = STATE + TINY_ENV.num_agents * TINY_ENV.num_actions
    assert params["action"]["layer_0"]["kernel"].shape == (joint, 5 * 9)
    assert params["action"]["layer_1"]["kernel"].shape == (5, 9, 9)
    assert params["action"]["layer_2"]["kernel"].shape == (5, 9, TINY_ENV.num_agents)
    assert params["w_hidden"]["kernel"].shape == (STATE, 9)
