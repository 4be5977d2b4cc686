"""A team of one: there is nobody to hide or to guess, and the context is of the agent's own window."""

import dataclasses

import jax
import numpy as np
import pytest
from context_systems import KEY, ROW_MARKS, WINDOW, config_of
from doubles.fakes import counters, made_up_rows, noise_like, on_rows, with_some_scale

from limae_jax.systems.base import LearnerState
from limae_jax.systems.build import build_system, make_spec
from limae_jax.systems.guesses import make_guesses
from limae_jax.systems.value_based import ValueBasedCore
from limae_jax.types import ActionSpec, EnvSpec

pytestmark = pytest.mark.slow

SOLO = EnvSpec("solo", "solo", num_agents=1, obs_size=4, state_size=3, actions=ActionSpec(3), episode_limit=10)
PAIR = dataclasses.replace(SOLO, num_agents=2)
BATCH = made_up_rows(0, ROW_MARKS, hidden_size=8, env=SOLO, window=WINDOW)
# The masking rules are asked in tests/masking; the commonest settings are compiled below.
ALL = [
    ("ma2e", {"mae_decoder_layers": 2}),
    ("ma2e", {"mae_context": "off"}),
    ("ma2e", {"mae_target_copy": True, "mae_td_gradient_to_mae": True}),
    ("oracle", {"mae_context": "window"}),
]


@pytest.mark.parametrize(("name", "settings"), ALL, ids=lambda value: str(value))
def test_every_system_with_a_context_can_be_built_for_one(name, settings):
    """Traced, not compiled: what fails for arrays of no team-mates fails here."""
    config = config_of(name, **settings)
    system = build_system(config, SOLO)
    state = jax.eval_shape(system.init, KEY)
    for phase in system.phases:
        if phase.learn:
            after, _ = jax.eval_shape(on_rows(phase.learn.update), state, BATCH, counters(0), KEY)
            assert jax.tree.structure(after) == jax.tree.structure(state)
    # Nothing is told of guesses: there are none.
    assert system.belief_errors is None and make_guesses(config, SOLO) is None


def test_two_agents_do_guess():
    config = config_of("li_ma2e")
    assert build_system(config, PAIR).belief_errors and make_guesses(config, PAIR)


# One agent is not mixed with others, and VDN's sum compiles sooner than QMIX's networks.
@pytest.mark.parametrize(("name", "settings"), [("li_ma2e", {}), ("ma2e", {"mae_context": "window"})])
def test_learning_alone_stays_finite_and_leaves_the_auto_encoder_as_it_is(name, settings):
    config = config_of(name, mixer="vdn", **settings)
    core = ValueBasedCore(make_spec(config, SOLO), config, SOLO)
    system = build_system(config, SOLO)
    params = with_some_scale(noise_like(jax.eval_shape(system.init, KEY).params, 1, 0.4))
    targets = {part: params[part] for part in ("agent", "mixer")}
    auxiliary = {extra.name: extra.init_state() for extra in core.spec.auxiliaries}
    state = LearnerState(params, targets, core.optimiser.init(params), auxiliary)
    for phase in system.phases:
        if phase.learn:
            after, metrics = jax.jit(on_rows(phase.learn.update))(state, BATCH, counters(0), KEY)
            assert all(np.isfinite(value) for value in metrics.values()) and metrics["mae/loss"] == 0
            assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(after))
            jax.tree.map(np.testing.assert_array_equal, after.params["mae"]["params"], params["mae"]["params"])
    assert metrics["mae/hidden_0"] == 0 and metrics["mae/attention_own"] == 1


def test_the_context_is_the_agents_own_window():
    config = config_of("ma2e")
    core = ValueBasedCore(make_spec(config, SOLO), config, SOLO)
    params = with_some_scale(noise_like(jax.eval_shape(core.init, KEY).params, 1, 0.4))
    start, inputs = core.read(BATCH)
    beliefs = jax.jit(core.infer)(params, start, inputs)
    assert beliefs.decoded.shape[3] == 0
    unroll, agent = jax.jit(core.unroll), params["agent"]["params"]
    plain, _ = unroll(params, start, inputs)
    q, features = unroll(params, start, inputs, beliefs)
    expected = plain + beliefs.own @ agent["team"]["value"] @ agent["context_head"]
    np.testing.assert_allclose(q, expected, rtol=2e-4, atol=2e-4)
    np.testing.assert_array_equal(features["attention"], np.ones_like(features["attention"]))
