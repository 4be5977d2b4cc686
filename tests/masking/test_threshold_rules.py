import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import marks
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_inputs import KEY, first_mask, inputs, make, random_inputs

from limae_jax.masking.refds import steps_to_end
from limae_jax.masking.vds import episode_variance, slope

pytestmark = pytest.mark.slow


def run(name, batches, **rule_settings):
    """Masks [A] of the batches' first slots, the states after them, and the metrics."""
    rule = make(name, batches[0].is_counted.shape[-1], **rule_settings)
    state, masks, states, metrics = rule.init(), [], [], []
    for batch in batches:
        is_hidden, state, batch_metrics = rule.select(state, batch, jax.random.key(KEY))
        masks.append(np.asarray(is_hidden)[0, 0].astype(int).tolist())
        states.append(state)
        metrics.append(batch_metrics)
    return masks, states, metrics


def constant(*errors):
    """A batch [2, 2, A] in which each agent always has the same error."""
    return inputs(np.broadcast_to(errors, (2, 2, len(errors))))


# ---- mean_td

# Two rows of two slots; the batch's means are 3, 2 and 4, theta is 3.
ERRORS = np.array([[[8, 2, 1], [1, 1, 7]], [[2, 4, 1], [1, 1, 7]]], np.float32)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("batch", [[[0, 0, 1], [0, 0, 1]]] * 2),
        # Means of the rows: (5, 3, 1), theta 3; (1, 1, 7), theta 3.
        ("row", [[[1, 0, 0], [0, 0, 1]]] * 2),
        # Slots: (8, 2, 1) and (2, 4, 1), thetas 11/3 and 7/3.
        ("step", [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 1]]]),
    ],
)
def test_mean_td_by_hand(unit, expected):
    np.testing.assert_array_equal(first_mask("mean_td", inputs(ERRORS), granularity=unit, window=1), expected)


def test_mean_td_takes_means_of_windows():
    # Windows of two slots: means (3, 2), (1, 4), and the last one, of one slot, (5, 0).
    errors = np.array([[6, 2], [0, 2], [0, 8], [2, 0], [5, 0]], np.float32)[:, None]
    expected = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]])[:, None]
    np.testing.assert_array_equal(first_mask("mean_td", inputs(errors), granularity="step", window=2), expected)


def test_mean_td_goes_by_means_not_by_sums():
    # Agent 0 was alive for one step only, with the largest error.
    errors = np.array([[9, 5, 5], [0, 5, 5]], np.float32)[:, None]
    is_counted = np.array([[True, True, True], [False, True, True]])[:, None]
    assert first_mask("mean_td", inputs(errors, is_counted=is_counted))[0, 0].tolist() == [True, False, False]


def test_mean_td_and_an_agent_that_never_counts():
    # Agent 2 gets the mean of 1 and 3: theta stays 2.
    errors, is_counted = [[[1, 3, 99]]], [[[True, True, False]]]
    assert first_mask("mean_td", inputs(errors, is_counted=is_counted))[0, 0].tolist() == [False, True, False]


@pytest.mark.parametrize("top_k", [1, 2, 3, 7])
def test_mean_td_without_errors_hides_the_top_k(top_k):
    masks, _, metrics = run("mean_td", [constant(0, 0, 0)], top_k=top_k)
    assert sum(masks[0]) == min(top_k, 2) and metrics[0]["fallback_rate"] == 1


def test_fallback_rate_is_a_share_of_the_groups():
    # Errors are equal in one row of four, and in two slots of eight.
    errors = np.array([[[5, 5], [1, 2], [1, 2], [2, 1]], [[5, 5], [1, 2], [1, 2], [8, 1]]], np.float32)
    for unit, rate in (("batch", 0), ("row", 0.25), ("step", 0.25)):
        rule = make("mean_td", 2, window=1, granularity=unit)
        assert rule.select((), inputs(errors), jax.random.key(0))[2]["fallback_rate"] == rate


# ---- ema


def test_ema_by_hand():
    batches = [constant(1, 3), constant(8, 2), constant(0, 4)]
    masks, states, _ = run("ema", batches, alpha=0.25)
    # s: (0.25, 0.75), (2.1875, 1.0625), (1.640625, 1.796875); corrected after one batch it is that batch: (1, 3).
    expected = [(0.25, 0.75), (2.1875, 1.0625), (1.640625, 1.796875)]
    for state, mean, weight in zip(states, expected, (0.25, 0.4375, 0.578125), strict=True):
        np.testing.assert_allclose(state.mean, mean, rtol=1e-6)
        np.testing.assert_allclose(state.weight, weight, rtol=1e-6)
    assert masks == [[0, 1], [1, 0], [0, 1]]


def test_ema_is_slow_or_quick():
    batches = [constant(1, 3), constant(4, 3)]
    assert run("ema", batches, alpha=0.1)[0] == [[0, 1], [0, 1]]
    assert run("ema", batches, alpha=0.9)[0] == [[0, 1], [1, 0]]
    assert run("ema", batches, alpha=1.0)[0] == [[0, 1], [1, 0]]


def test_ema_weight_is_the_correction_of_adam():
    _, states, _ = run("ema", [constant(1, 3)] * 40, alpha=0.1)
    np.testing.assert_allclose([s.weight for s in states], 1 - 0.9 ** np.arange(1, 41), rtol=1e-5)
    np.testing.assert_allclose([s.mean / s.weight for s in states], [[1, 3]] * 40, rtol=1e-5)


# ---- vds


@pytest.mark.parametrize(
    ("history", "num_valid", "expected"),
    [
        ([0, 0, 0, 5], 1, 0.0),
        ([0, 0, 2, 5], 2, 3.0),
        # Offsets -1, 0, 1: (4 - 1) / 2.
        ([99, 1, 7, 4], 3, 1.5),
        # Offsets -1.5, -0.5, 0.5, 1.5: (1.5 * (6 - 1) + 0.5 * (2 - 3)) / 5.
        ([1, 3, 2, 6], 4, 1.4),
        ([6, 2, 3, 1], 4, -1.4),
        ([0.1, 0.1, 0.1, 0.1], 4, 0.0),
        ([0, 0, 0, 0], 0, 0.0),
    ],
)
def test_slope_by_hand(history, num_valid, expected):
    got = slope(jnp.asarray(history, jnp.float32)[:, None], jnp.asarray(num_valid))
    np.testing.assert_allclose(got, [expected], rtol=1e-6)


def test_slope_of_no_change_is_exactly_zero():
    # Anything more would do for the rule: it compares the agents' scores with their mean, however small.
    history = jnp.broadcast_to(jnp.linspace(0.1, 9.0, 200), (8, 200))
    for num_valid in range(9):
        np.testing.assert_array_equal(slope(history, jnp.asarray(num_valid)), 0)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), num_valid=st.integers(2, 6))
def test_slope_equals_polyfit(seed, num_valid):
    history = np.random.default_rng(seed).normal(size=(6, 3)).astype(np.float32)
    expected = np.polyfit(np.arange(num_valid), history[6 - num_valid :], 1)[0]
    np.testing.assert_allclose(slope(jnp.asarray(history), jnp.asarray(num_valid)), expected, rtol=1e-3, atol=1e-4)


def test_episode_variance_by_hand():
    # Row 0: the end of an episode (means 2 and 6), then one of two steps (4 and 1). Row 1: one (6 and 7).
    values = np.array([[[1, 6], [5, 7]], [[3, 6], [7, 99]], [[4, 1], [99, 99]], [[4, 99], [99, 99]]], np.float32)
    is_counted = values != 99
    is_first = np.array([[False, True], [False, False], [True, False], [False, False]])
    got = episode_variance(*map(jnp.asarray, (values, is_counted, is_first)))
    # Means (2, 4, 6), of which the variance is 8 / 3, and (6, 1, 7).
    np.testing.assert_allclose(got, [8 / 3, np.var([6, 1, 7])], rtol=1e-6)


def test_an_agent_in_one_episode_has_no_variance():
    values = np.array([[[1, 1]], [[3, 5]], [[7, 2]]], np.float32)
    is_first = np.array([[True], [False], [True]])
    is_counted = np.array([[[True, True]], [[True, True]], [[False, True]]])
    got = episode_variance(*map(jnp.asarray, (values, is_counted, is_first)))
    np.testing.assert_allclose(got, [0, 0.25], rtol=1e-6)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_episode_variance_equals_a_loop(seed):
    given_inputs = random_inputs(seed, num_slots=7)
    values, is_counted, _, is_first, _ = map(np.asarray, given_inputs[:5])
    expected = []
    for a in range(4):
        means = []
        for b in range(3):
            starts = [0, *[t for t in range(1, 7) if is_first[t, b]], 7]
            for begin, end in itertools.pairwise(starts):
                counted = [values[t, b, a] for t in range(begin, end) if is_counted[t, b, a]]
                means += [np.mean(counted)] if counted else []
        expected.append(np.var(means) if len(means) >= 2 else 0.0)
    got = jax.jit(episode_variance)(given_inputs.td_error_agent, given_inputs.is_counted, given_inputs.is_first)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def _two_episodes(*pairs):
    """A batch [2, 1, A] of two episodes of one step."""
    return inputs(np.array(pairs, np.float32).T[:, None], is_first=[[True], [True]])


def test_vds_by_hand():
    batches = [
        _two_episodes((1, 1), (2, 4), (9, 9)),  # means 1, 3, 9
        _two_episodes((1, 5), (4, 4), (0, 8)),  # means 3, 4, 4; variances 4, 0, 16; slopes 2, 1, -5
        _two_episodes((3, 5), (6, 8), (4, 14)),  # means 4, 7, 9; variances 1, 1, 25; slopes 1.5, 2, 0
        _two_episodes((4, 6), (3, 5), (9, 11)),  # means 5, 4, 10; all variances 1; slopes of three 1, 0, 3
    ]
    masks, states, metrics = run("vds", batches, history_batches=3)
    # Nothing rises in the first batch, whose highest error decides.
    assert masks == [[0, 0, 1], [1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert [float(one["fallback_rate"]) for one in metrics] == [1, 0, 0, 0]
    assert [int(state.num_valid) for state in states] == [1, 2, 3, 3]
    np.testing.assert_allclose(states[1].history, [[0, 0, 0], [1, 3, 9], [3, 4, 4]])
    np.testing.assert_allclose(states[3].history, [[3, 4, 4], [4, 7, 9], [5, 4, 10]])


def test_vds_needs_variance_and_a_rise():
    # All rise, only agent 1 varies; then agent 1 varies and falls, agent 2 varies and rises.
    masks, _, _ = run(
        "vds",
        [
            _two_episodes((1, 1), (1, 1), (1, 1)),
            _two_episodes((5, 5), (1, 3), (4, 4)),
            _two_episodes((5, 5), (0, 1), (4, 9)),
        ],
        history_batches=2,
    )
    assert masks[1:] == [[0, 1, 0], [0, 0, 1]]


# ---- refds


def test_steps_to_end_by_hand():
    # Two steps, their final observation, three steps, theirs, and two steps of an episode that goes on; slot 9 is the
    # row's last, never filled.
    flags = marks([(2, True), (3, False), (9, True)], 10)
    got = steps_to_end(jnp.asarray(flags["is_first"])[:, None], jnp.asarray(flags["filled"])[:, None])
    np.testing.assert_array_equal(np.asarray(got)[flags["filled"], 0], [1, 0, 2, 1, 0, 1, 0])
    assert flags["filled"].tolist() == [True, True, False, True, True, True, False, True, True, False]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), skip=st.integers(0, 9))
def test_steps_to_end_equal_a_loop(seed, skip):
    lengths = np.random.default_rng(seed).integers(1, 6, size=12)
    flags = marks([(int(length), True) for length in lengths], 12, skip)
    got = steps_to_end(jnp.asarray(flags["is_first"])[:, None], jnp.asarray(flags["filled"])[:, None])
    for t in np.flatnonzero(flags["filled"]):
        end = next((s for s in range(t + 1, 12) if flags["is_first"][s]), 12)
        assert got[t, 0] == max(s for s in range(t, end) if flags["filled"][s]) - t


def test_refds_by_hand():
    # tau = 1 / ln 2 halves the weight with each step. Weights 1/4, 1/2, 1, and 1 for the second episode's only step:
    # agent 0: (32/4 + 2) / 2.75, agent 1: (1/2 + 4 + 4) / 2.75. With half of tau, 1/16, 1/4, 1, 1: 4 against 8.25.
    errors = np.array([[32, 0], [0, 1], [0, 4], [2, 4]], np.float32)[:, None]
    given_inputs = inputs(errors, is_first=[[True], [False], [False], [True]])
    tau = float(1 / np.log(2))
    assert first_mask("refds", given_inputs, time_constant_steps=tau)[0, 0].tolist() == [True, False]
    assert first_mask("refds", given_inputs, time_constant_steps=tau / 2)[0, 0].tolist() == [False, True]
    assert first_mask("mean_td", given_inputs)[0, 0].tolist() == [True, False]


def test_refds_weights_are_normalised_by_what_counts():
    # Agent 1 died early; its error counts no less for that, even where its weights alone would vanish.
    errors = np.array([[2, 3], [2, 0], [2, 0]], np.float32)[:, None]
    is_counted = np.array([[True, True], [True, False], [True, False]])[:, None]
    for tau in (1.4, 0.001):
        mask = first_mask("refds", inputs(errors, is_counted=is_counted), time_constant_steps=tau)
        assert mask[0, 0].tolist() == [False, True]


def test_refds_measures_to_the_end_of_the_episode_not_of_the_window():
    # Windows of two; an episode of one step and one of three. In the first window weights are 1 and 1/4: agent 0 has
    # 3 / 1.25 and agent 1 has 4 / 4 / 1.25, although its plain mean is higher. In the second, 1/2 and 1: 8 and 7.
    errors = np.array([[3, 0], [0, 4], [24, 9], [0, 6]], np.float32)[:, None]
    given_inputs = inputs(errors, is_first=[[True], [True], [False], [False]])
    tau = float(1 / np.log(2))
    mask = first_mask("refds", given_inputs, granularity="step", time_constant_steps=tau)
    np.testing.assert_array_equal(mask[:, 0], [[1, 0]] * 4)
    # Weights 1/4 and 1: 4.8 and 6.6.
    mask = first_mask("refds", given_inputs, granularity="step", time_constant_steps=tau / 2)
    np.testing.assert_array_equal(mask[:, 0], [[1, 0]] * 2 + [[0, 1]] * 2)


# ---- obs_weighted


def test_obs_weighted_by_hand():
    # Agent 0: (4 * 1/4 + 4 * 0) / 2; agent 1: (1 * 1 + 1 * 1/2) / 2.
    obs = np.array([[[0, 0, -3, 0], [1, 2, 3, 4]], [[0, 0, 0, 0], [0, 1, 0, 1]]], np.float32)[:, None]
    errors = np.array([[4, 1], [4, 1]], np.float32)[:, None]
    assert first_mask("obs_weighted", inputs(errors, obs=obs))[0, 0].tolist() == [False, True]
    assert first_mask("obs_weighted", inputs(errors))[0, 0].tolist() == [True, False]


def test_obs_weighted_weighs_each_step_by_its_own_observation():
    # The same mean error and the same mean share; agent 1's error falls on the step where it sees.
    obs = np.array([[[1, 1], [0, 0]], [[0, 0], [1, 1]]], np.float32)[:, None]
    errors = np.array([[0, 0], [4, 4]], np.float32)[:, None]
    assert first_mask("obs_weighted", inputs(errors, obs=obs))[0, 0].tolist() == [False, True]


def test_obs_weighted_counts_negative_features():
    obs = np.array([[[1, 0], [-1, -1]]], np.float32)[:, None]
    assert first_mask("obs_weighted", inputs([[[3, 3]]], obs=obs))[0, 0].tolist() == [False, True]


def test_obs_weighted_by_steps():
    obs = np.array([[[1, 1], [0, 1]], [[0, 1], [1, 1]]], np.float32)[:, None]
    errors = np.full((2, 1, 2), 3.0)
    mask = first_mask("obs_weighted", inputs(errors, obs=obs), granularity="step", window=1)
    np.testing.assert_array_equal(mask[:, 0], [[1, 0], [0, 1]])
