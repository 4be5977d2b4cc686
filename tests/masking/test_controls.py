import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_inputs import first_mask, inputs, make, random_inputs

from limae_jax.catalogue.masking_rules import GRANULARITIES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("num_agents", [2, 3])
def test_all_but_one_takes_turns(num_agents):
    rule, given_inputs = make("all_but_one", num_agents), random_inputs(0, num_agents=num_agents)
    state = rule.init()
    for batch in range(2 * num_agents + 1):
        is_hidden, state, _ = rule.select(state, given_inputs, jax.random.key(0))
        visible = np.arange(num_agents) == batch % num_agents
        np.testing.assert_array_equal(is_hidden, np.broadcast_to(~visible, is_hidden.shape))
        assert 0 <= state < num_agents


@pytest.mark.parametrize("unit", GRANULARITIES)
@pytest.mark.parametrize("name", ["random_matched", "inverse_td"])
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31), knobs=st.sampled_from([(0.0, 1), (0.4, 2), (9.0, 3)]))
def test_as_many_as_mean_td(name, unit, seed, knobs):
    knobs, given_inputs = {"tolerance": knobs[0], "top_k": knobs[1], "granularity": unit}, random_inputs(seed)
    expected = first_mask("mean_td", given_inputs, **knobs).sum(-1)
    np.testing.assert_array_equal(first_mask(name, given_inputs, **knobs).sum(-1), expected)


def test_random_matched_takes_any_agents():
    # In each of 4000 rows mean_td would hide two of four.
    given_inputs = inputs(np.broadcast_to(np.float32([1, 1, 2, 2]), (1, 4000, 4)))
    is_hidden = first_mask("random_matched", given_inputs, granularity="row")[0]
    np.testing.assert_array_equal(is_hidden.sum(-1), 2)
    pairs, counts = np.unique(is_hidden, axis=0, return_counts=True)
    assert len(pairs) == 6
    np.testing.assert_allclose(counts / 4000, 1 / 6, atol=0.03)


def test_inverse_td_by_hand():
    # theta 5.25: mean_td would hide agents 0 and 3.
    given_inputs = inputs([[[8, 1, 3, 9]]])
    assert first_mask("mean_td", given_inputs)[0, 0].tolist() == [True, False, False, True]
    assert first_mask("inverse_td", given_inputs)[0, 0].tolist() == [False, True, True, False]


def test_inverse_td_in_each_row():
    is_hidden = first_mask("inverse_td", inputs([[[5, 1, 2], [1, 9, 8]]]), granularity="row")
    np.testing.assert_array_equal(is_hidden, [[[0, 1, 0], [1, 0, 1]]])
