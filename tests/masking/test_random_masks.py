import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mask_inputs import first_mask, make, random_inputs

from limae_jax.masking.random import bernoulli_mask

pytestmark = pytest.mark.slow

MANY = 20_000


@pytest.mark.parametrize("num_agents", [2, 3])
@pytest.mark.parametrize("probability", [0.2, 0.5, 0.9])
def test_bernoulli_masks_have_the_right_distribution(probability, num_agents):
    is_hidden = np.asarray(bernoulli_mask(jax.random.key(0), (MANY,), num_agents, probability))
    # Each mask's own probability; nobody and everybody are shared out evenly over one and all but one.
    for mask in itertools.product([False, True], repeat=num_agents):
        number = sum(mask)
        expected = probability**number * (1 - probability) ** (num_agents - number)
        expected += (number == 1) * (1 - probability) ** num_agents / num_agents
        expected += (number == num_agents - 1) * probability**num_agents / num_agents
        expected *= 0 < number < num_agents
        share = np.mean((is_hidden == mask).all(-1))
        assert abs(share - expected) <= 5 * np.sqrt(expected / MANY)


@pytest.mark.parametrize("probability", [1e-6, 1 - 1e-6])
def test_the_one_that_is_changed_is_uniform(probability):
    is_hidden = np.asarray(bernoulli_mask(jax.random.key(1), (MANY,), 4, probability))
    number, share = (1, 0.25) if probability < 0.5 else (3, 0.75)
    assert (is_hidden.sum(-1) == number).all()
    np.testing.assert_allclose(is_hidden.mean(0), share, atol=0.02)


@pytest.mark.parametrize("prefix", [(), (3,), (2, 5)])
def test_bernoulli_mask_shapes_and_one_agent(prefix):
    assert bernoulli_mask(jax.random.key(0), prefix, 3, 0.5).shape == (*prefix, 3)
    assert not bernoulli_mask(jax.random.key(0), prefix, 1, 0.001).any()


@pytest.mark.parametrize(("unit", "num_masks"), [("batch", 1), ("row", 40), ("step", 120)])
def test_random_draws_for_each_group(unit, num_masks):
    is_hidden = first_mask("random", random_inputs(0, 6, 40, 4), granularity=unit)
    starts = is_hidden[::2] if unit == "step" else is_hidden[:1]
    masks = starts if unit != "batch" else starts[:, :1]
    assert masks.reshape(-1, 4).shape[0] == num_masks
    number_of_kinds = len({tuple(one) for one in masks.reshape(-1, 4)})
    assert (number_of_kinds == 1) == (unit == "batch")


@pytest.mark.parametrize("probability", [0.3, 0.7])
def test_random_hides_as_often_as_asked(probability):
    is_hidden = first_mask("random", random_inputs(0, 2, 4000, 4), probability=probability)
    # E[hidden] / 4, with one revealed of all and one hidden of none.
    expected = probability + ((1 - probability) ** 4 - probability**4) / 4
    np.testing.assert_allclose(is_hidden.mean(), expected, atol=0.015)


@pytest.mark.parametrize("name", ["random", "random_matched"])
def test_draws_follow_the_key_alone(name):
    rule, given_inputs = make(name, 4, granularity="step"), random_inputs(1, 6, 40)
    masks = [np.asarray(rule.select((), given_inputs, jax.random.key(key))[0]) for key in (1, 1, 2)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


def test_random_ignores_the_errors():
    given_inputs = random_inputs(2)
    other = given_inputs._replace(td_error_agent=jnp.flip(given_inputs.td_error_agent, -1))
    np.testing.assert_array_equal(first_mask("random", given_inputs), first_mask("random", other))
