import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from doubles.fakes import TINY_ENV, counters, made_up_rows, marks, noise_like, on_rows, tiny_config
from reference import td_errors

from limae_jax.config import TrainConfig
from limae_jax.systems.base import Auxiliary, AuxiliaryLoss, LearnerState
from limae_jax.systems.build import build_system, make_spec
from limae_jax.systems.value_based import build_value_based
from limae_jax.systems.value_spec import td_optimiser

pytestmark = pytest.mark.slow

NUM_SLOTS = 12
ROW_MARKS = [
    marks([(4, True), (9, False)], NUM_SLOTS),
    marks([(5, False), (3, True)], NUM_SLOTS, skip=3),
    marks([(1, True), (20, True)], NUM_SLOTS, skip=1),
]
BATCH = made_up_rows(0, ROW_MARKS, hidden_size=8)
MIXER_OF = {"iql": None, "vdn": "vdn", "qmix": "qmix"}
KEY = jax.random.key(0)


def _spy() -> Auxiliary:
    """No loss; its state becomes the TD errors that it was shown."""

    def loss(inputs, state, key):
        return AuxiliaryLoss(jnp.zeros(()), (inputs.errors.team, inputs.errors.agent), {})

    return Auxiliary("spy", None, lambda: None, loss)


class Learner(NamedTuple):
    """One system whose step is the bare gradient: new parameters are the old ones less the gradient."""

    config: TrainConfig
    update: Any
    state: LearnerState

    def gradient(self, state, batch):
        """(errors [T, B or B A], agent errors, gradient, metrics) of one update."""
        after, metrics = self.update(state, batch, counters(0), KEY)
        gradient = jax.tree.map(lambda old, new: np.asarray(old) - np.asarray(new), state.params, after.params)
        team, own = (np.asarray(x) for x in after.auxiliary["spy"])
        return team, np.abs(own), gradient, metrics


@functools.cache
def learner(name: str, initial_carry: str = "stored", **system) -> Learner:
    config = tiny_config(name, {"initial_carry": initial_carry}, reward_scale=2.0, gamma=0.9, **system)
    spec = make_spec(config, TINY_ENV)
    spec = spec._replace(auxiliaries=(_spy(),), optimisers={"td": lambda config: optax.sgd(1.0)})
    built = build_value_based(spec, config, TINY_ENV)
    shapes = jax.eval_shape(built.init, KEY)
    state = shapes.replace(
        params=noise_like(shapes.params, 1, 0.4), target_params=noise_like(shapes.target_params, 2, 0.4), averaged={}
    )
    return Learner(config, jax.jit(on_rows(built.phases[-1].learn.update)), state)


def _norm(tree) -> float:
    return float(np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree))))


def _reference(one: Learner, params, batch=BATCH) -> tuple[np.ndarray, np.ndarray, float]:
    errors, own = td_errors(MIXER_OF[one.config.system.name], params, one.state.target_params, batch, one.config.system)
    return errors, own, float(np.nanmean(0.5 * np.square(errors)))


VARIANTS = [("iql", {}), ("vdn", {"td_lambda": 0.0, "double_q": False}), ("qmix", {}), ("qmix", {"td_lambda": 1.0})]


@pytest.mark.parametrize("name, system", VARIANTS)
def test_update_equals_an_independent_computation(name, system):
    one = learner(name, **system)
    errors, own, loss = _reference(one, one.state.params)
    seen, seen_own, gradient, metrics = one.gradient(one.state, BATCH)
    filled = np.asarray(BATCH.filled)
    np.testing.assert_allclose(seen.reshape(errors.shape)[filled], errors[filled], rtol=1e-3, atol=1e-4)
    assert seen_own.shape == (NUM_SLOTS, 3, TINY_ENV.num_agents)
    np.testing.assert_allclose(seen_own[filled], own[filled], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(metrics["td_loss"], loss, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-4)
    np.testing.assert_allclose(metrics["td_error_abs"], np.nanmean(np.abs(errors)), rtol=1e-4)
    np.testing.assert_allclose(metrics["grad_norm"], _norm(gradient), rtol=1e-4)


@pytest.mark.parametrize("name", ["iql", "vdn", "qmix"])
def test_gradient_equals_the_slope_of_the_independent_loss(name):
    """The bootstrap's greedy actions do not move over so small a step, so the slope is the semi-gradient's."""
    one = learner(name) if name != "vdn" else learner("vdn", td_lambda=0.0, double_q=False)
    gradient = one.gradient(one.state, BATCH)[2]
    for seed in (5, 6):
        params = jax.tree.map(lambda x: np.asarray(x, np.float64), one.state.params)
        generator = np.random.default_rng(seed)
        direction = jax.tree.map(lambda x, draw=generator: draw.normal(size=x.shape), params)
        losses = []
        for step in (-1e-5, 1e-5):
            moved = jax.tree.map(lambda x, d, step=step: x + step * d, params, direction)
            losses.append(_reference(one, moved)[2])
        slope = (losses[1] - losses[0]) / 2e-5
        products = jax.tree.map(lambda g, d: float(np.sum(g * d)), gradient, direction)
        np.testing.assert_allclose(sum(jax.tree.leaves(products)), slope, rtol=5e-3, atol=1e-4)


def test_targets_matter_but_get_no_gradient():
    one = learner("qmix")

    def loss(targets):
        return one.update(one.state.replace(target_params=targets), BATCH, counters(0), KEY)[1]["td_loss"]

    value, grads = jax.jit(jax.value_and_grad(loss))(one.state.target_params)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(grads))
    elsewhere = noise_like(one.state.target_params, 9, 0.4)
    assert abs(one.gradient(one.state.replace(target_params=elsewhere), BATCH)[3]["td_loss"] - value) > 1e-3


def _padding(batch) -> np.ndarray:
    """[T, B] slots whose observation nobody may read: no step was taken there, and no value counts there."""
    filled, terminal = np.asarray(batch.filled), np.asarray(batch.terminal)
    is_read = np.concatenate([np.zeros_like(filled[:1]), (filled & ~terminal)[:-1]])
    return ~filled & ~is_read


@pytest.mark.parametrize("name", ["iql", "qmix"])
def test_padding_changes_neither_loss_nor_gradient(name):
    one, other = learner(name), made_up_rows(77, ROW_MARKS, hidden_size=8)
    padding, unfilled = _padding(BATCH), ~np.asarray(BATCH.filled)
    assert padding.sum() >= 3

    def swap(slots, field):
        ours, theirs = getattr(BATCH, field), getattr(other, field)
        return np.where(slots.reshape(slots.shape + (1,) * (ours.ndim - 2)), theirs, ours)

    changed = {field: swap(padding, field) for field in ("obs", "state", "avail")}
    changed |= {field: swap(unfilled, field) for field in ("action", "reward", "alive")}
    changed |= {field: getattr(BATCH, field) | unfilled for field in ("terminal", "truncated")}
    _, _, gradient, metrics = one.gradient(one.state, BATCH)
    _, _, gradient_changed, metrics_changed = one.gradient(one.state, BATCH.replace(**changed))
    np.testing.assert_allclose(metrics["loss"], metrics_changed["loss"], rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), gradient, gradient_changed)
    # The final observation of a truncated episode is not padding.
    final = np.asarray(BATCH.truncated)
    final = np.concatenate([np.zeros_like(final[:1]), final[:-1]])
    assert final.any() and not (final & padding).any()
    for field in ("obs", "state") if name == "qmix" else ("obs",):
        moved = one.gradient(one.state, BATCH.replace(**{field: swap(final, field)}))[3]["loss"]
        assert abs(moved - metrics["loss"]) > 1e-6


def test_unfilled_slots_do_not_weigh():
    """Twice the padding leaves the mean as it is: it is over real steps."""
    one = learner("qmix")
    filled = np.asarray(BATCH.filled)
    errors, _, _, metrics = one.gradient(one.state, BATCH)
    np.testing.assert_allclose(metrics["td_loss"], 0.5 * np.sum(errors[filled] ** 2) / filled.sum(), rtol=1e-5)


def test_stored_and_zero_initial_carry():
    stored, zeros = (
        learner("vdn", td_lambda=0.0, double_q=False),
        learner("vdn", "zeros", td_lambda=0.0, double_q=False),
    )
    start = BATCH.start.replace(hidden=np.zeros_like(BATCH.start.hidden))
    plain, emptied = BATCH, BATCH.replace(start=start)
    loss = {
        (one, what): float(learner_.gradient(learner_.state, batch)[3]["loss"])
        for one, learner_ in (("stored", stored), ("zeros", zeros))
        for what, batch in (("plain", plain), ("emptied", emptied))
    }
    assert loss["zeros", "plain"] == loss["zeros", "emptied"]
    np.testing.assert_allclose(loss["zeros", "plain"], loss["stored", "emptied"], rtol=1e-6)
    assert abs(loss["stored", "plain"] - loss["stored", "emptied"]) > 1e-4


def test_qmix_with_unit_weights_is_vdn():
    qmix, vdn = learner("qmix"), learner("vdn")
    layers = jax.tree.map(np.zeros_like, qmix.state.params["mixer"])
    # ELU is the identity far above 0: Q_tot = (sum_i q_i + 100) 4 / 4 - 100.
    for layer, bias in {"w1": 1.0, "b1": 100.0, "w2": 0.25, "b2": -100.0}.items():
        layers["params"][layer]["bias"] = np.full_like(layers["params"][layer]["bias"], bias)
    state = qmix.state.replace(
        params=qmix.state.params | {"mixer": layers}, target_params=qmix.state.target_params | {"mixer": layers}
    )
    mixer = {"mixer": vdn.state.params["mixer"]}
    summed = vdn.state.replace(
        params={"agent": qmix.state.params["agent"]} | mixer,
        target_params={"agent": qmix.state.target_params["agent"]} | mixer,
    )
    errors, _, gradient, _ = qmix.gradient(state, BATCH)
    expected, _, expected_gradient, _ = vdn.gradient(summed, BATCH)
    filled = np.asarray(BATCH.filled)
    np.testing.assert_allclose(errors[filled], expected[filled], atol=1e-3)
    close = functools.partial(np.testing.assert_allclose, atol=2e-3)
    jax.tree.map(close, gradient["agent"], expected_gradient["agent"])


@functools.cache
def _qmix_with_adam():
    built = build_system(tiny_config("qmix", max_grad_norm=0.5, target_update_env_steps=100), TINY_ENV)
    return built, jax.jit(on_rows(built.phases[-1].learn.update)), jax.jit(built.init)(KEY)


def test_targets_start_as_copies_and_move_only_when_a_multiple_is_crossed():
    built, update, state = _qmix_with_adam()
    assert set(state.target_params) == {"agent", "mixer"}
    jax.tree.map(np.testing.assert_array_equal, state.params, state.target_params)
    refresh, env_steps = jax.jit(built.after_iteration), 0
    for collected, is_due in ((60, False), (39, False), (1, True), (99, False), (1, True), (350, True), (20, False)):
        state, _ = update(state, BATCH, counters(env_steps), KEY)
        held = jax.tree.map(np.asarray, state.target_params)
        state = refresh(state, counters(env_steps), counters(env_steps + collected))
        env_steps += collected
        expected = state.params if is_due else held
        jax.tree.map(np.testing.assert_array_equal, state.target_params, expected)
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), state.params, state.target_params)
        assert is_due == (max(jax.tree.leaves(moved)) == 0)


def test_gradients_are_clipped_over_all_parts_together():
    _, update, state = _qmix_with_adam()
    far = BATCH.replace(reward=BATCH.reward * 1000)
    after, metrics = update(state, far, counters(0), KEY)
    assert metrics["grad_norm"] > 50
    # Adam's first moment after one step is a tenth of the gradient that reached it.
    first_moments = optax.tree.get(after.opt_state, "mu")
    np.testing.assert_allclose(_norm(first_moments), 0.1 * 0.5, rtol=1e-4)


def test_optimiser_is_adam_on_the_clipped_gradient():
    config = dataclasses.replace(tiny_config().system, learning_rate=0.01, max_grad_norm=2.0)
    optimiser, param = td_optimiser(config), np.zeros(2)
    state, first, second, expected = optimiser.init(param), np.zeros(2), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate([np.array([30.0, 40.0]), np.array([0.1, -0.2])], start=1):
        update, state = optimiser.update(jnp.asarray(gradient), state, param)
        param = param + np.asarray(update)
        clipped = gradient * min(1.0, 2.0 / np.linalg.norm(gradient))
        first, second = 0.9 * first + 0.1 * clipped, 0.999 * second + 0.001 * clipped**2
        corrected = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        expected = expected - 0.01 * corrected
        np.testing.assert_allclose(param, expected, rtol=1e-4)


def test_seeds_differ_and_a_seed_repeats():
    built, _, state = _qmix_with_adam()
    init = jax.jit(built.init)
    jax.tree.map(np.testing.assert_array_equal, state.params, init(KEY).params)
    other = init(jax.random.key(1)).params["agent"]["params"]["head"]["kernel"]
    assert np.abs(other - state.params["agent"]["params"]["head"]["kernel"]).max() > 1e-3
