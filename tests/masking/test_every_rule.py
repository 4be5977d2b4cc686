"""What holds for every rule."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_inputs import THRESHOLD_RULES, VARIANTS, first_mask, inputs, make, random_inputs

from limae_jax.catalogue.masking_rules import RULES
from limae_jax.config import MASKING_CONFIGS, LiMa2eConfig, TrainConfig
from limae_jax.config.traced import with_values
from limae_jax.masking.load import make_rule

pytestmark = pytest.mark.slow

shapes = st.sampled_from([(5, 3, 2), (5, 3, 4), (4, 1, 3)])


@pytest.mark.parametrize(("name", "unit"), VARIANTS)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31), shape=shapes, scale=st.sampled_from([0.0, 1.0]))
def test_someone_is_hidden_and_someone_visible(name, unit, seed, shape, scale):
    rule, given_inputs = make(name, shape[-1], granularity=unit), random_inputs(seed, *shape)
    given_inputs = given_inputs._replace(td_error_agent=scale * given_inputs.td_error_agent)
    state = rule.init()
    for batch in range(2):
        is_hidden, state, _ = rule.select(state, given_inputs, jax.random.key(seed + batch))
        assert is_hidden.shape == shape and is_hidden.dtype == bool
        number = np.asarray(is_hidden).sum(-1)
        assert ((1 <= number) & (number < shape[-1])).all()


@pytest.mark.parametrize(("name", "unit"), VARIANTS)
def test_of_one_agent_nothing_is_hidden(name, unit):
    rule, given_inputs = make(name, 1, granularity=unit), random_inputs(0, num_agents=1)
    state = rule.init()
    for batch in range(4):
        is_hidden, state, metrics = rule.select(state, given_inputs, jax.random.key(batch))
        assert is_hidden.shape == (5, 3, 1) and not is_hidden.any()
        assert all(value == 0 for value in metrics.values())


@pytest.mark.parametrize(("name", "unit"), VARIANTS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_errors_that_do_not_count_have_no_influence(name, unit, bad):
    clean = random_inputs(4)
    dirty = clean._replace(td_error_agent=jnp.where(clean.is_counted, clean.td_error_agent, bad))
    rule = make(name, 4, granularity=unit)
    states = [rule.init(), rule.init()]
    for batch in range(3):
        (mask, *rest), (dirty_mask, *dirty_rest) = (
            rule.select(state, batch_inputs, jax.random.key(batch))
            for state, batch_inputs in zip(states, (clean, dirty), strict=True)
        )
        np.testing.assert_array_equal(mask, dirty_mask)
        jax.tree.map(np.testing.assert_array_equal, rest, dirty_rest)
        states = [rest[0], dirty_rest[0]]


@pytest.mark.parametrize(("name", "unit"), VARIANTS)
def test_masks_are_constant_within_their_groups(name, unit):
    differ = {"row": set(), "window": set()}
    for key in range(10):
        is_hidden = first_mask(name, random_inputs(key, num_rows=4), key, granularity=unit)
        first, second, last = is_hidden[:2], is_hidden[2:4], is_hidden[4:]
        for window in (first, second, last):
            assert (window == window[:1]).all()
        differ["row"].add(bool((is_hidden != is_hidden[:, :1]).any()))
        differ["window"].add(bool((is_hidden != is_hidden[:1]).any()))
    assert (True in differ["row"]) == (unit != "batch")
    assert (True in differ["window"]) == (unit == "step")


@pytest.mark.parametrize("name", RULES)
def test_without_a_granularity_a_rule_takes_its_first(name):
    same = [
        first_mask(name, random_inputs(5)),
        first_mask(name, random_inputs(5), granularity=RULES[name].granularities[0]),
    ]
    np.testing.assert_array_equal(*same)


@pytest.mark.parametrize(("name", "unit"), VARIANTS)
def test_seeds_side_by_side_equal_seeds_alone(name, unit):
    rule = make(name, 4, granularity=unit)
    seeds = [(random_inputs(seed), jax.random.key(seed)) for seed in (1, 2)]
    alone = [rule.select(rule.init(), *seed) for seed in seeds]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
    states = jax.vmap(lambda _: rule.init())(jnp.arange(2))
    together = jax.vmap(rule.select)(states, *stacked)
    for index, one in enumerate(alone):
        both = jax.tree.map(lambda leaf, index=index: leaf[index], together)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), both, one)


@pytest.mark.parametrize("name", RULES)
def test_state_keeps_its_types_and_metrics_are_numbers(name):
    rule = make(name, 4)
    state = rule.init()
    is_hidden, new_state, metrics = rule.select(state, random_inputs(6), jax.random.key(0))
    types = [jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree) for tree in (state, new_state)]
    assert types[0] == types[1] and is_hidden.dtype == bool
    assert jax.tree.structure(state) == jax.tree.structure(new_state)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} <= {"float32", "int32"}
    assert list(metrics) == (["fallback_rate"] if name in THRESHOLD_RULES else [])
    assert all((value.shape, value.dtype) == ((), jnp.float32) for value in metrics.values())


@pytest.mark.parametrize("name", RULES)
def test_gathers_and_scatters_stay_out(name):
    rule = make(name, 4)
    program = str(jax.make_jaxpr(rule.select)(rule.init(), random_inputs(7), jax.random.key(0)))
    assert "gather" not in program and "scatter" not in program and "sort" not in program


@pytest.mark.parametrize("name", THRESHOLD_RULES)
def test_scale_of_the_errors_does_not_matter(name):
    rule, given_inputs = make(name, 4, tolerance=0.0), random_inputs(8)
    louder = given_inputs._replace(td_error_agent=64 * given_inputs.td_error_agent)
    states = [rule.init(), rule.init()]
    for growth in (1.0, 2.0, 4.0):
        masks = []
        for index, one in enumerate((given_inputs, louder)):
            one = one._replace(td_error_agent=growth * one.td_error_agent)
            is_hidden, states[index], _ = rule.select(states[index], one, jax.random.key(0))
            masks.append(is_hidden)
        np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("name", [*THRESHOLD_RULES, "inverse_td"])
@settings(deadline=None, max_examples=10)
@given(order=st.permutations(range(4)))
def test_permuting_agents_permutes_the_mask(name, order):
    order, rule, given_inputs = np.asarray(order), make(name, 4), random_inputs(9)
    permuted = given_inputs._replace(
        td_error_agent=given_inputs.td_error_agent[..., order],
        is_counted=given_inputs.is_counted[..., order],
        obs=given_inputs.obs[..., order, :],
    )
    states = [rule.init(), rule.init()]
    # Errors that rise, and that fall together: then vds has no score for anyone.
    for growth in (1.0, 2.0, 0.5):
        masks = []
        for index, one in enumerate((given_inputs, permuted)):
            one = one._replace(td_error_agent=growth * one.td_error_agent)
            is_hidden, states[index], _ = rule.select(states[index], one, jax.random.key(0))
            masks.append(np.asarray(is_hidden))
        np.testing.assert_array_equal(masks[0][..., order], masks[1])


@pytest.mark.parametrize("unit", ["row", "step"])
@pytest.mark.parametrize("name", ["mean_td", "inverse_td", "refds", "obs_weighted"])
def test_of_a_lone_survivors_team_the_survivor_is_hidden(name, unit):
    """The dead have its error, for want of their own, and hiding one of them would leave nothing to learn."""
    is_counted = np.zeros((4, 1, 3), bool)
    is_counted[..., 2] = True
    is_hidden = first_mask(name, inputs(np.ones((4, 1, 3)), is_counted=is_counted), granularity=unit)
    assert is_hidden[..., 2].all() and not is_hidden[..., :2].any()


@pytest.mark.parametrize("name", RULES)
def test_numbers_of_a_rule_can_be_traced(name):
    others = {"probability": 0.4, "tolerance": 0.3, "alpha": 0.6, "time_constant_steps": 3.0}
    plain = TrainConfig(system=LiMa2eConfig(), masking=MASKING_CONFIGS[name](name=name))
    numbers = {number: others[number] for number in plain.masking_rule.traced}
    built_for = make(name, 4, **numbers)

    @jax.jit
    def select(numbers, state, given_inputs, key):
        config = with_values(plain, {f"masking.{number}": value for number, value in numbers.items()})
        return make_rule(config.masking_rule, 4, 2).select(state, given_inputs, key)

    states = [built_for.init()] * 2
    for batch in range(3):
        given_inputs, key = random_inputs(batch), jax.random.key(batch)
        mask, states[0], _ = built_for.select(states[0], given_inputs, key)
        traced_mask, states[1], _ = select(numbers, states[1], given_inputs, key)
        np.testing.assert_array_equal(mask, traced_mask)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), *states)


def test_inputs_and_masks_of_other_shapes_are_refused():
    rule, given_inputs = make("mean_td", 4), random_inputs(0)
    with pytest.raises(AssertionError):
        rule.select(rule.init(), given_inputs._replace(is_first=given_inputs.is_first.T), jax.random.key(0))
    with pytest.raises(AssertionError):
        rule.select(rule.init(), given_inputs._replace(is_counted=given_inputs.filled), jax.random.key(0))
