"""The forms for a CPU and those for other backends are one function: equal values, equal gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import TINY_ENV, made_up_rows, marks, tiny_config

from limae_jax.networks import backend, gru, linear
from limae_jax.networks.mixers import qmix
from limae_jax.systems.value_based import ValueBasedCore
from limae_jax.systems.value_spec import ValueBasedSpec
from limae_jax.types import Sample

BATCH = made_up_rows(2, [marks([(3, True), (9, False)], 8), marks([(4, False)], 8, skip=1)], hidden_size=8)


@pytest.mark.slow
def test_a_gradient_step_is_the_same_in_both_forms(monkeypatch):
    core = ValueBasedCore(ValueBasedSpec(mixer="qmix"), tiny_config("qmix"), TINY_ENV)
    state = jax.jit(core.init)(jax.random.key(0))
    assert backend.prefers_cpu_forms()
    asked, found = [], []
    for is_cpu in (True, False):
        for module in (gru, linear, qmix):
            monkeypatch.setattr(module, "prefers_cpu_forms", lambda is_cpu=is_cpu: asked.append(is_cpu) or is_cpu)

        def loss(params):
            return core.loss(params, state, Sample(BATCH), jax.random.key(1))[0]

        found.append(jax.jit(jax.value_and_grad(loss))(state.params))
    assert set(asked) == {True, False}
    (one, grads), (other, other_grads) = found
    np.testing.assert_allclose(one, other, rtol=1e-5)
    assert float(jnp.abs(grads["mixer"]["params"]["b1"]["kernel"]).max()) > 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), grads, other_grads)
