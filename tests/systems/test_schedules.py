import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import tiny_config

from limae_jax.systems.schedules import epsilon_at

CONFIG = tiny_config(epsilon_start=0.9, epsilon_end=0.1, epsilon_decay_env_steps=1000).system


@pytest.mark.parametrize(
    "env_steps, epsilon", [(0, 0.9), (250, 0.7), (500, 0.5), (1000, 0.1), (1001, 0.1), (10**9, 0.1)]
)
def test_epsilon_is_linear_and_then_constant(env_steps, epsilon):
    np.testing.assert_allclose(epsilon_at(CONFIG, jnp.asarray(env_steps)), epsilon, rtol=1e-6)


def test_a_constant_schedule():
    config = dataclasses.replace(CONFIG, epsilon_start=0.3, epsilon_end=0.3)
    np.testing.assert_allclose(epsilon_at(config, jnp.asarray([0, 500, 5000])), 0.3, rtol=1e-6)


def test_epsilon_knows_nothing_of_the_length_of_the_run():
    """The whole run's settings are not among its arguments, so a run that is extended keeps its schedule."""
    fields = {field.name for field in dataclasses.fields(CONFIG)}
    assert not [name for name in fields if "total" in name]
