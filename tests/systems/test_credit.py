"""dQ_tot/dQ_i at the actions taken, against differences of the mixed value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from context_systems import BATCH_WITHOUT_HISTORY, learner

from limae_jax.losses.td import choose
from limae_jax.networks.mixers import MixerInputs

pytestmark = pytest.mark.slow


def _of(name: str):
    one = learner(name)
    start, inputs = one.core.read(BATCH_WITHOUT_HISTORY)
    q, features = one.core.unroll(one.state.params, start, inputs)
    return one, q, features


@pytest.mark.parametrize("name", ["qmix", "vdn"])
def test_credit_is_the_slope_of_the_mixed_value(name):
    one, q, features = _of(name)
    batch = BATCH_WITHOUT_HISTORY
    credit = one.core.credit(one.state.params, q, batch, features)
    best = jnp.max(jnp.where(batch.avail, q, -jnp.inf), axis=-1)
    chosen, step, found = choose(q, batch.action), 1e-2, 0.0

    @jax.jit
    def total(chosen):
        given = MixerInputs(chosen, best, batch.action, batch.state, features)
        return one.core.mixer.apply(one.state.params.get("mixer", {}), given)

    for agent in range(q.shape[2]):
        moved = jnp.zeros_like(chosen).at[:, :, agent].set(step)
        slope = (total(chosen + moved) - total(chosen - moved)) / (2 * step)
        np.testing.assert_allclose(credit[:, :, agent], slope, rtol=0.1, atol=0.02)
        found = max(found, float(np.ptp(credit[:, :, agent])))
    assert found == 0 if name == "vdn" else found > 0.01
    assert name != "vdn" or np.all(credit == 1)


def test_credit_with_qplex_is_the_slope_that_it_learns_from():
    """It learns the weights of its advantages, but not through them: they are constants in its gradient."""
    one, q, features = _of("qplex")
    credit = one.core.credit(one.state.params, q, BATCH_WITHOUT_HISTORY, features)
    assert np.all(credit > 0) and np.ptp(credit) > 0.1


def test_alone_every_agent_has_all_the_credit():
    one, q, features = _of("iql")
    np.testing.assert_array_equal(one.core.credit(one.state.params, q, BATCH_WITHOUT_HISTORY, features), 1.0)


def test_credit_has_no_gradient():
    one, q, features = _of("qmix")
    total = jax.grad(lambda q: jnp.sum(one.core.credit(one.state.params, q, BATCH_WITHOUT_HISTORY, features)))
    assert not np.any(total(q))
