"""Statistics against hand calculations and scipy's."""

import numpy as np
import pytest
from scipy import stats

from limae_jax.analysis import statistics as st

SCORES = np.array([0.31, 0.55, 0.72, 0.4, 0.93, 0.66, 0.81, 0.12, 0.5, 0.77])


def test_interquartile_mean_leaves_out_a_quarter_at_each_end():
    assert st.interquartile_mean(np.array([100.0, 0, 3, 2, 5, 4, 1, 6])) == pytest.approx(3.5)
    assert st.interquartile_mean(np.array([0.0, 1, 5])) == pytest.approx(2.0)
    table = np.random.default_rng(0).normal(size=(11, 4))
    assert st.interquartile_mean(table) == pytest.approx(stats.trim_mean(table, 0.25))
    assert st.interquartile_mean(table.T, axis=1) == pytest.approx(stats.trim_mean(table, 0.25))


def test_interval_is_the_percentile_bootstrap():
    ours = st.bootstrap([SCORES], lambda drawn: drawn[0].mean(axis=1))
    theirs = stats.bootstrap((SCORES,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert ours.value == pytest.approx(SCORES.mean())
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.015)
    assert st.bootstrap([SCORES], lambda drawn: drawn[0].mean(axis=1)) == ours


def test_each_map_is_resampled_by_itself():
    # Mixed up, resamples of two maps without any spread would have a spread.
    estimate = st.iqm_estimate([np.full((4, 2), 0.2), np.full((4, 2), 0.8)])
    for bound in estimate:
        assert bound == pytest.approx([0.5, 0.5])


def test_whole_seeds_are_resampled():
    # Two seeds whose curves cross: each resample is one of them twice, or both.
    low, high = st.iqm_estimate([np.array([[0.0, 1.0], [1.0, 0.0]])])[1:]
    assert low.tolist() == [0, 0] and high.tolist() == [1, 1]


def test_one_seed_has_no_interval():
    estimate = st.iqm_estimate([np.array([[0.5, 0.7]])])
    assert estimate.value.tolist() == [0.5, 0.7]
    assert np.isnan(estimate.low).all() and np.isnan(estimate.high).all()
    # Nor has a comparison with it: 1 [1, 1] would be said of the other's seeds alone.
    for estimate in (
        st.probability_of_improvement([np.array([1.0])], [np.array([0.5, 0.7, 0.6])]),
        st.speed_up(np.array([3.0]), np.array([4.0, 5.0]), 9).ratio,
        st.iqm_estimate([np.array([0.1, 0.2, 0.3]), np.array([0.9])]),
    ):
        assert np.isfinite(estimate.value) and np.isnan(estimate.low) and np.isnan(estimate.high)


def test_probability_of_improvement_counts_ties_half():
    ours, theirs = np.array([1.0, 2, 3]), np.array([2.0, 2, 0])
    assert st.probability_of_improvement([ours], [theirs]).value == pytest.approx(6 / 9)
    other = np.random.default_rng(1).random(7)
    u = stats.mannwhitneyu(SCORES, other).statistic
    assert st.probability_of_improvement([SCORES], [other]).value == pytest.approx(u / (len(SCORES) * len(other)))
    # The mean over maps, not over seeds: one map won, one lost.
    over_maps = st.probability_of_improvement([np.ones(5), np.zeros(1)], [np.zeros(5), np.ones(1)])
    assert over_maps.value == pytest.approx(0.5)


def test_performance_profile_is_the_share_strictly_above():
    strata = [np.array([0.2, 0.5]), np.array([0.9, 0.9])]
    profile = st.performance_profile(strata, np.array([0.0, 0.2, 0.5, 0.9]))
    assert profile.value.tolist() == [1, 0.75, 0.5, 0]
    assert np.all(profile.low <= profile.value) and np.all(profile.high >= profile.value)


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio", "is_at_least", "is_at_most"),
    [
        ([100, 300], [400, 600], 2.5, False, False),
        ([100, 300], [400, np.inf], 3.5, True, False),
        ([100, np.inf], [550, 550], 1.0, False, True),
        ([np.inf, np.inf], [np.inf, np.inf], 1.0, True, True),
    ],
)
def test_speed_up_counts_who_never_got_there_with_the_budget(ours, theirs, ratio, is_at_least, is_at_most):
    found = st.speed_up(np.array(ours, float), np.array(theirs, float), budget=1000)
    assert found.ratio.value == pytest.approx(ratio)
    assert (found.is_at_least, found.is_at_most) == (is_at_least, is_at_most)
    assert found.ratio.low <= ratio <= found.ratio.high


def test_steps_to_a_goal():
    steps, scores = np.array([100, 200, 300, 400]), np.array([0.2, 0.5, 0.4, 0.9])
    assert st.reached_at(steps, scores, 0.5) == 200
    assert st.reached_at(steps, scores, 0.51) == 400
    assert st.reached_at(steps, scores, 0.91) == np.inf


def test_mean_until_the_budget():
    # 0 up to step 100, then a straight line to 1 at 200.
    assert st.mean_until(np.array([100, 200]), np.array([0.0, 1.0]), 200) == pytest.approx(0.25)
    # The last evaluation is behind the budget: the line is cut off there.
    assert st.mean_until(np.array([100, 300]), np.array([0.0, 1.0]), 200) == pytest.approx(0.125)


def test_windows_and_late_drops():
    scores = np.array([0.9, 0.9, 0.0, 0.0, 0.6, 0.9, 0.6, 0.3, 0.6])
    assert st.window_means(scores) == pytest.approx([0.6, 0.3, 0.2, 0.5, 0.7, 0.6, 0.5])
    # In the second half, from 0.7 down to 0.5; the larger fall before, from 0.6 to 0.2, does not count.
    assert st.late_drop(scores) == pytest.approx(0.2)
    assert st.late_drop(np.linspace(0, 1, 9)) == 0
    assert st.window_means(np.array([0.2, 0.4])) == pytest.approx([0.3])


def test_curves_meet_at_common_steps():
    assert st.common_grid(110, 100, 350).tolist() == [110, 200, 300, 350]
    assert st.common_grid(100, 100, 300).tolist() == [100, 200, 300]
    scores = np.array([np.nan, 0.0, 1.0])
    assert st.at(np.array([50, 100, 200]), scores, np.array([100, 150])) == pytest.approx([0, 0.5])
