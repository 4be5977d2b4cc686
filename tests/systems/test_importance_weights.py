"""Importance weights multiply each row's TD loss, once; priorities are made of TD errors. Both against numpy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from context_systems import BATCH as CONTEXT_BATCH
from context_systems import learner
from doubles.fakes import TINY_ENV, counters, made_up_rows, marks, noise_like, tiny_config
from reference import td_errors

from limae_jax.losses.td import row_priority
from limae_jax.systems.build import make_spec
from limae_jax.systems.value_based import ValueBasedCore
from limae_jax.types import Sample

pytestmark = pytest.mark.slow

NUM_SLOTS, KEY = 9, jax.random.key(0)
ROW_MARKS = [
    marks([(4, True), (9, False)], NUM_SLOTS),
    marks([(2, False)], NUM_SLOTS, skip=1),
    marks([(1, True), (20, True)], NUM_SLOTS),
]
BATCH = made_up_rows(0, ROW_MARKS, hidden_size=8)
WEIGHT = np.array([0.25, 1.0, 0.5])
MIXER_OF = {"iql": None, "vdn": "vdn"}


@functools.cache
def _core(name: str, priority: str = "team"):
    config = tiny_config(name, replay={"kind": "prioritised", "priority": priority})
    core = ValueBasedCore(make_spec(config, TINY_ENV), config, TINY_ENV)
    shapes = jax.eval_shape(core.init, KEY)
    state = shapes.replace(
        params=noise_like(shapes.params, 1, 0.4),
        target_params=noise_like(shapes.target_params, 2, 0.4),
        opt_state=core.optimiser.init(noise_like(shapes.params, 1, 0.4)),
        averaged={},
    )
    return config, core, state


def _errors(name: str, params):
    config, _, state = _core(name)
    return td_errors(MIXER_OF[name], params, state.target_params, BATCH, config.system)


def _weighted_loss(name: str, params) -> float:
    """The sum of w_b delta^2 / 2 over the real steps, divided by their number and not by the sum of their weights."""
    errors, _ = _errors(name, params)
    weight = np.broadcast_to(WEIGHT.reshape(1, -1, *[1] * (errors.ndim - 2)), errors.shape)
    return float(np.nansum(weight * 0.5 * np.square(errors)) / np.isfinite(errors).sum())


@pytest.mark.parametrize("name", ["iql", "vdn"])
def test_loss_and_gradient_are_weighted_once(name):
    _, core, state = _core(name)
    loss = jax.jit(
        jax.value_and_grad(lambda params, weight: core.loss(params, state, Sample(BATCH, None, weight), KEY)[0])
    )
    value, gradient = loss(state.params, jnp.asarray(WEIGHT, jnp.float32))
    np.testing.assert_allclose(value, _weighted_loss(name, state.params), rtol=1e-4)
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), state.params)
    generator = np.random.default_rng(3)
    direction = jax.tree.map(lambda x: generator.normal(size=x.shape), params)
    low, high = (
        _weighted_loss(name, jax.tree.map(lambda x, d, s=step: x + s * d, params, direction)) for step in (-1e-5, 1e-5)
    )
    products = jax.tree.map(lambda g, d: float(np.sum(np.asarray(g) * d)), gradient, direction)
    np.testing.assert_allclose(sum(jax.tree.leaves(products)), (high - low) / 2e-5, rtol=5e-3, atol=1e-4)
    even, _ = loss(state.params, jnp.ones(3))
    assert abs(even - value) > 1e-3


def _by_hand(errors, counts) -> list[float]:
    """Mean over the agents that count of |delta|, then its sum over steps divided by the root of their number."""
    found = []
    for row in range(errors.shape[1]):
        steps = [np.abs(errors[t, row][counts[t, row]]).mean() for t in range(len(errors)) if counts[t, row].any()]
        found.append(np.sum(steps) / np.sqrt(len(steps)))
    return found


@pytest.mark.parametrize("name", ["iql", "vdn"])
@pytest.mark.parametrize("priority", ["team", "agents"])
def test_priorities_by_hand(name, priority):
    _, core, state = _core(name, priority)
    step = jax.jit(core.update)(state, Sample(BATCH), counters(0), KEY)
    team, own = _errors(name, state.params)
    filled = np.asarray(BATCH.filled)
    if priority == "agents":
        wanted = _by_hand(own, filled[..., None] & np.asarray(BATCH.alive))
    else:
        errors = team.reshape(*filled.shape, -1)
        wanted = _by_hand(errors, np.repeat(filled[..., None], errors.shape[-1], axis=-1))
    np.testing.assert_allclose(step.priority, wanted, rtol=1e-3)
    assert len({round(value, 3) for value in wanted}) == 3


def test_a_priority_lies_between_sum_and_mean():
    """Errors 1 and 3, then a slot that does not count: 4 / sqrt(2)."""
    error = jnp.asarray([[1.0, 5.0], [-3.0, 5.0], [9.0, jnp.nan]])
    filled = jnp.asarray([[True, False], [True, False], [False, False]])
    np.testing.assert_allclose(row_priority(error, filled), [4 / np.sqrt(2), 0.0], rtol=1e-6)


def test_weights_leave_auxiliary_losses_alone():
    one = learner("ma2e")
    metrics = []
    for weight in (jnp.ones(3), jnp.asarray([0.1, 1.0, 0.3])):
        metrics.append(one.core.loss(one.state.params, one.state, Sample(CONTEXT_BATCH, None, weight), KEY)[1][1])
    assert metrics[0]["mae/loss"] == metrics[1]["mae/loss"] and metrics[0]["td_loss"] != metrics[1]["td_loss"]
