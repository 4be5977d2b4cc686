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


def test_interval_of_a_mean_is_students_t():
    ours = st.mean_estimate(SCORES)
    theirs = stats.ttest_1samp(SCORES, 0).confidence_interval(0.95)
    assert (ours.value, ours.low, ours.high) == pytest.approx((SCORES.mean(), *theirs))
    # Of 0.2, 0.4 and 0.9: mean 0.5, standard deviation 0.361, t 4.303 with two degrees of freedom.
    by_hand = 4.302653 * np.sqrt(0.13) / np.sqrt(3)
    curves = st.mean_estimate(np.array([[0.2, 1], [0.4, 1], [0.9, 1]]))
    assert curves.low.tolist() == pytest.approx([0.5 - by_hand, 1]) and curves.high[0] == pytest.approx(0.5 + by_hand)


def test_an_interval_of_a_win_rate_ends_at_0_and_1():
    estimate = st.mean_estimate(np.array([[0.0, 0.9], [0.1, 1.0]])).within(0, 1)
    assert estimate.low.tolist() == [0, pytest.approx(0.95 - 0.05 * 12.7062, abs=1e-4)] and estimate.high[1] == 1
    assert np.isnan(st.mean_estimate(np.array([0.4])).within(0, 1).low)


def test_difference_of_two_methods_is_welchs():
    other = np.random.default_rng(1).random(4)
    ours = st.mean_difference(SCORES, other)
    theirs = stats.ttest_ind(SCORES, other, equal_var=False).confidence_interval(0.95)
    assert (ours.value, ours.low, ours.high) == pytest.approx((SCORES.mean() - other.mean(), *theirs))
    # One method without spread: the interval is that of the other's mean. Both without: no spread at all.
    one = st.mean_difference(SCORES, np.full(3, 0.5))
    mean = st.mean_estimate(SCORES)
    assert (one.low, one.high) == pytest.approx((mean.low - 0.5, mean.high - 0.5))
    assert [float(x) for x in st.mean_difference(np.ones(3), np.full(2, 0.25))] == [0.75] * 3


def test_permutation_p_counts_all_assignments():
    # The most extreme of 20 assignments on either side.
    assert st.permutation_p(np.array([0.7, 0.8, 0.9]), np.array([0.1, 0.2, 0.3])) == pytest.approx(2 / 20)
    # Of 0.1, 0.2, 0.3, 0.4 split in pairs, {0.2, 0.4} has a sum of 0.1 above the rest: 4 of 6 are as far apart.
    assert st.permutation_p(np.array([0.2, 0.4]), np.array([0.1, 0.3])) == pytest.approx(4 / 6)
    assert st.permutation_p(np.ones(3), np.ones(3)) == 1


def _covered(estimates, truth: float) -> float:
    return float(np.mean([low <= truth <= high for _, low, high in estimates]))


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_cover_the_truth_in_95_of_100_studies(seeds):
    drawn = np.random.default_rng(seeds).normal(0.7, 0.1, (4000, seeds))
    estimate = st.mean_estimate(drawn.T)
    # Four standard errors of 4000 studies.
    assert np.mean((estimate.low <= 0.7) & (estimate.high >= 0.7)) == pytest.approx(0.95, abs=0.014)
    pairs = np.random.default_rng(seeds).normal(0.7, [0.05, 0.1], (600, seeds, 2))
    differences = [st.mean_difference(*pair.T) for pair in pairs]
    assert 0.92 < _covered(differences, 0.0) < 0.99


def test_bootstrap_over_maps_covers_the_truth():
    """With three seeds each on six maps; drawing three of three, it covers 87 %."""
    drawn = np.random.default_rng(5).normal(0.5, 0.1, (200, 6, 3))
    estimates = [st.iqm_estimate(list(study)) for study in drawn]
    assert _covered(estimates, 0.5) == pytest.approx(0.95, abs=0.04)


def test_bootstrap_draws_one_seed_less_than_there_are():
    drawn = []
    st.bootstrap([SCORES, SCORES[:3]], lambda strata: drawn.append([one.shape for one in strata]) or strata[0][:, 0])
    assert drawn == [[(1, 10), (1, 3)], [(st.NUM_RESAMPLES, 9), (st.NUM_RESAMPLES, 2)]]


def test_each_map_is_resampled_by_itself():
    # Mixed up, resamples of two maps without any spread would have a spread.
    estimate = st.iqm_estimate([np.full((4, 2), 0.2), np.full((4, 2), 0.8)])
    for bound in estimate:
        assert bound == pytest.approx([0.5, 0.5])


def test_whole_seeds_are_resampled():
    # Two seeds whose curves cross: each resample is one of them.
    low, high = st.iqm_estimate([np.array([[0.0, 1.0], [1.0, 0.0]])])[1:]
    assert low.tolist() == [0, 0] and high.tolist() == [1, 1]


def test_one_seed_has_no_interval():
    estimate = st.iqm_estimate([np.array([[0.5, 0.7]])])
    assert estimate.value.tolist() == [0.5, 0.7]
    assert np.isnan(estimate.low).all() and np.isnan(estimate.high).all()
    # Nor has a comparison with it: 1 [1, 1] would be said of the other's seeds alone.
    for estimate in (
        st.probability_of_improvement([np.array([1.0])], [np.array([0.5, 0.7, 0.6])]),
        st.mean_difference(np.array([1.0]), np.array([0.5, 0.7, 0.6])),
        st.mean_estimate(np.array([0.4])),
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
        ([100, 400], [400, 900], 3.0, False, False),
        ([100, 400], [250, np.inf], 2.5, True, False),
        ([10, np.inf], [100, 100], 1.0, False, True),
        ([np.inf, np.inf], [np.inf, np.inf], 1.0, True, True),
    ],
)
def test_speed_up_counts_who_never_got_there_with_the_budget(ours, theirs, ratio, is_at_least, is_at_most):
    found = st.speed_up(np.array(ours, float), np.array(theirs, float), budget=1000)
    assert found.ratio.value == pytest.approx(ratio)
    assert (found.is_at_least, found.is_at_most) == (is_at_least, is_at_most)
    low, high = found.ratio.low, found.ratio.high
    assert low == pytest.approx(high) if ours == theirs else low < ratio < high
    assert low * high == pytest.approx(ratio**2)


def test_steps_to_a_goal_count_windows():
    steps, scores = np.arange(100, 600, 100), np.array([0.2, 0.8, 0.5, 0.5, 0.9])
    # Windows 0.5, 0.6 and 0.633, which end at 300, 400 and 500: a single lucky evaluation reaches nothing.
    assert st.reached_at(steps, scores, 0.5) == 300
    assert st.reached_at(steps, scores, 0.61) == 500
    assert st.reached_at(steps, scores, 0.8) == np.inf
    assert st.reached_at(np.array([100, 200]), np.array([0.2, 0.6]), 0.4) == 200


def test_a_team_flat_below_the_goal_seldom_reaches_it():
    """At a true 0.76, one of 20 evaluations of 128 episodes shows 0.8 in 95 % of runs, a window in 32 %."""
    scores = np.random.default_rng(3).binomial(128, 0.76, (2000, 20)) / 128
    steps = np.arange(20.0)
    assert np.mean(scores.max(axis=1) >= 0.8) > 0.9
    assert np.mean([np.isfinite(st.reached_at(steps, one, 0.8)) for one in scores]) < 0.35


def test_final_score_is_the_mean_of_the_last_ten_or_the_last_quarter():
    assert st.final_score(np.arange(100.0)) == pytest.approx(94.5)
    assert st.final_score(np.arange(40.0)) == pytest.approx(34.5)
    assert st.final_score(np.arange(8.0)) == pytest.approx(6.5)
    assert st.final_score(np.array([0.2, 0.4])) == 0.4


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
