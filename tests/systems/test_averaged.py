"""The parameters of the finished team: an average over the last environment steps."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import TINY_ENV, counters, noise_like, tiny_config

from limae_jax.systems.build import build_system

equal = functools.partial(jax.tree.map, np.testing.assert_array_equal)


def _system(name: str = "vdn", **settings):
    return build_system(tiny_config(name, **settings), TINY_ENV)


@functools.cache
def _initial(name: str = "vdn", **settings):
    return jax.jit(_system(name, **settings).init)(jax.random.key(0))


def test_at_first_the_team_has_the_learners_parameters():
    state = _initial()
    assert set(state.averaged) == {"agent"} and set(state.params) == {"agent", "mixer"}
    equal(state.team_params, state.params)


def test_a_team_with_a_context_has_an_averaged_auto_encoder_too():
    shapes = jax.eval_shape(_system("li_ma2e").init, jax.random.key(0))
    assert set(shapes.averaged) == {"agent", "mae"}
    assert set(jax.eval_shape(_system("oracle").init, jax.random.key(0)).averaged) == {"agent"}


def test_weights_fall_exponentially_with_environment_steps():
    """After 100, 0 and 300 steps the average is the sum of the past, weighted by hand."""
    state, steps = _initial(average_env_steps=200), [0, 100, 100, 400]
    refresh = jax.jit(_system(average_env_steps=200).after_iteration)
    past = [state.params["agent"]]
    for index, (before, after) in enumerate(itertools.pairwise(steps)):
        agent = noise_like(past[0], seed=index)
        state = state.replace(params=state.params | {"agent": agent})
        state = refresh(state, counters(before), counters(after))
        past.append(agent)
    kept = [np.exp(-0.5), 1.0, np.exp(-1.5)]
    weights = [kept[0] * kept[2], (1 - kept[0]) * kept[2], 0.0, 1 - kept[2]]
    assert sum(weights) == pytest.approx(1)
    expected = jax.tree.map(lambda *x: sum(w * one for w, one in zip(weights, x, strict=True)), *past)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), state.averaged["agent"], expected)
    equal(state.team_params, state.params | {"agent": state.averaged["agent"]})
    equal(state.params["agent"], past[-1])


def test_without_an_average_the_team_has_the_newest_parameters():
    state = _initial(average_env_steps=0)
    assert state.averaged == {}
    moved = state.replace(params=jax.tree.map(lambda x: x + 1.0, state.params))
    after = _system(average_env_steps=0).after_iteration(moved, counters(0), counters(10))
    equal(after.team_params, moved.params)
    assert jax.tree.all(jax.tree.map(lambda a, b: jnp.any(a != b), after.team_params, state.params))
