"""Statistics for few seeds.

Arrays of scores have a row per seed. All intervals are of 95 %. On one map they are Student's t over the seeds (Welch's
for two methods): a percentile bootstrap covers 75 % with three seeds and 82 % with five. Over several maps, the
interquartile mean has a stratified bootstrap (Agarwal et al. 2021, Deep RL at the Edge of the Statistical Precipice).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

NUM_RESAMPLES = 2000
_LEVEL = 0.95
_TAILS = (2.5, 97.5)
_GENERATOR_SEED = 20_261_124

# Consecutive evaluations in a window: the standard error of a win rate over 128 episodes is 0.04, too much to say when
# a goal was reached or how far the win rate fell.
WINDOW = 3
# The final score is the mean of this many last evaluations, or of the last quarter if that is fewer.
LAST = 10


class Estimate(NamedTuple):
    """A statistic with its interval; `low` and `high` are NaN if a method has only one seed on a map."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def within(self, least: float, most: float) -> Estimate:
        """Returns the estimate of a quantity that cannot lie outside [least, most]; the interval covers as often."""
        return Estimate(self.value, np.maximum(self.low, least), np.minimum(self.high, most))


def interquartile_mean(scores: np.ndarray, axis: int = 0) -> np.ndarray:
    """Returns the mean without the lowest and highest floor(n / 4) of n scores; the mean if n < 4."""
    count = scores.shape[axis]
    kept = np.arange(count // 4, count - count // 4)
    return np.mean(np.take(np.sort(scores, axis=axis), kept, axis=axis), axis=axis)


def mean_estimate(scores: np.ndarray) -> Estimate:
    """Estimates the mean over the rows of `scores` [N, ...], with Student's t interval."""
    value, count = np.mean(scores, axis=0), len(scores)
    if count == 1:
        return _without_interval(value)
    half = stats.t.ppf((1 + _LEVEL) / 2, count - 1) * np.std(scores, axis=0, ddof=1) / np.sqrt(count)
    return Estimate(value, value - half, value + half)


def mean_difference(ours: np.ndarray, theirs: np.ndarray) -> Estimate:
    """Estimates the mean of `ours` [N] minus that of `theirs` [M], with Welch's t interval."""
    value = np.asarray(np.mean(ours) - np.mean(theirs))
    if min(len(ours), len(theirs)) == 1:
        return _without_interval(value)
    if np.ptp(ours) == np.ptp(theirs) == 0:
        return Estimate(value, value, value)
    with warnings.catch_warnings():
        # scipy warns of one sample without spread; Welch's interval is defined by the other's.
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(_LEVEL)
    return Estimate(value, np.asarray(low), np.asarray(high))


def _without_interval(value: np.ndarray) -> Estimate:
    return Estimate(value, np.full_like(value, np.nan), np.full_like(value, np.nan))


def permutation_p(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Returns the two-sided p-value of the difference of the means of `ours` [N] and `theirs` [M].

    All assignments of the seeds to the methods are counted, or 9,999 random ones if there are more. With three seeds
    each no p-value is below 0.1; with four, 0.03. NaN if one of the methods has only one seed.
    """
    if min(len(ours), len(theirs)) == 1:
        return float("nan")

    def difference(mine: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(mine, axis=axis) - np.mean(other, axis=axis)

    generator = np.random.default_rng(_GENERATOR_SEED)
    return float(stats.permutation_test((ours, theirs), difference, vectorized=True, rng=generator).pvalue)


def bootstrap(strata: Sequence[np.ndarray], statistic: Callable[[list[np.ndarray]], np.ndarray]) -> Estimate:
    """Computes a statistic over several maps, and its percentile interval by resampling the seeds of each map.

    A resample has N_k - 1 of a map's N_k seeds, drawn with replacement, because N_k would understate the variance by
    the factor (N_k - 1) / N_k, a third with three seeds (Rao and Wu 1988).

    Args:
        strata: for each map an array [N_k, ...], at least one row each.
        statistic: maps strata [R, n_k, ...] to values [R, ...]; R is the number of resamples.

    Returns:
        The statistic of `strata`, with bounds.
    """
    value = np.asarray(statistic([stratum[None] for stratum in strata]))[0]
    # A single seed does not vary under resampling, so the interval would ignore its stratum.
    if any(len(stratum) == 1 for stratum in strata):
        return _without_interval(value)
    generator = np.random.default_rng(_GENERATOR_SEED)
    drawn = [stratum[generator.integers(len(stratum), size=(NUM_RESAMPLES, len(stratum) - 1))] for stratum in strata]
    low, high = np.percentile(np.asarray(statistic(drawn)), _TAILS, axis=0)
    return Estimate(value, low, high)


def iqm_estimate(strata: Sequence[np.ndarray]) -> Estimate:
    """Estimates the interquartile mean over all rows of all strata [N_k, ...]."""
    return bootstrap(strata, lambda drawn: interquartile_mean(np.concatenate(drawn, axis=1), axis=1))


def share_won(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Returns [...] the share of pairs in which a seed of ours [..., N] is above one of theirs [..., M]; ties half."""
    difference = ours[..., :, None] - theirs[..., None, :]
    return np.mean((difference > 0) + 0.5 * (difference == 0), axis=(-2, -1))


def probability_of_improvement(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> Estimate:
    """Estimates P(a seed of ours scores higher than one of theirs), the mean over maps; a tie counts half.

    Args:
        ours, theirs: scores [N_k] on each map.
    """

    def statistic(drawn: list[np.ndarray]) -> np.ndarray:
        pairs = zip(drawn[: len(ours)], drawn[len(ours) :], strict=True)
        return np.mean([share_won(mine, other) for mine, other in pairs], axis=0)

    return bootstrap([*ours, *theirs], statistic)


def performance_profile(strata: Sequence[np.ndarray], thresholds: np.ndarray) -> Estimate:
    """Estimates the share of seeds that score above each threshold [K], over all maps [N_k] together."""

    def statistic(drawn: list[np.ndarray]) -> np.ndarray:
        return np.mean(np.concatenate(drawn, axis=1)[..., None] > thresholds, axis=1)

    return bootstrap(strata, statistic)


class SpeedUp(NamedTuple):
    """The factor by which a method reaches a goal sooner than another method.

    Attributes:
        ratio: of geometric mean env steps, theirs over ours; seeds that never reached the goal count with the budget.
        is_at_least, is_at_most: whether the ratio is a bound, because some of their (our) seeds never reached it.
    """

    ratio: Estimate
    is_at_least: bool
    is_at_most: bool


def speed_up(ours: np.ndarray, theirs: np.ndarray, budget: float) -> SpeedUp:
    """Estimates the ratio of geometric mean env steps, with Welch's t interval of the logarithms.

    Args:
        ours, theirs: [N] env steps of each seed; infinite if it never reached the goal.
        budget: env steps of every seed.
    """
    mine, other = (np.log(np.minimum(steps, budget)) for steps in (ours, theirs))
    ratio = Estimate(*(np.exp(bound) for bound in mean_difference(other, mine)))
    return SpeedUp(ratio, bool(np.isinf(theirs).any()), bool(np.isinf(ours).any()))


def reached_at(passed: np.ndarray, scores: np.ndarray, goal: float) -> float:
    """Returns when a seed first had a score of at least `goal` over WINDOW evaluations; infinity if never.

    Args:
        passed: [E] steps or seconds at each evaluation.
        scores: [E].
        goal: on the mean of a window.

    Returns:
        The entry of `passed` at the last evaluation of the first such window.
    """
    means = window_means(scores)
    reached = np.flatnonzero(means >= goal)
    return float(passed[len(scores) - len(means) + reached[0]]) if len(reached) else float("inf")


def final_score(scores: np.ndarray) -> float:
    """Returns the mean of the last LAST scores, or of the last quarter (at least one) if that is fewer."""
    return float(np.mean(scores[-max(1, min(LAST, len(scores) // 4)) :]))


def mean_until(env_steps: np.ndarray, scores: np.ndarray, budget: float) -> float:
    """Returns the mean of a curve over [0, budget]; before the first evaluation the curve has its first value."""
    knots = np.unique([0.0, *env_steps[env_steps < budget], budget])
    return float(np.trapezoid(np.interp(knots, env_steps, scores), knots) / budget)


def window_means(scores: np.ndarray) -> np.ndarray:
    """Returns the means of all WINDOW consecutive evaluations; one mean of all if there are fewer."""
    size = min(WINDOW, len(scores))
    return np.convolve(scores, np.full(size, 1.0 / size), mode="valid")


def late_drop(scores: np.ndarray) -> float:
    """Returns the largest fall between window means in the second half of the windows; 0 if the mean never fell."""
    means = window_means(scores)
    late = means[len(means) // 2 :]
    return float(np.max(np.maximum.accumulate(late) - late))


def at(seed_steps: np.ndarray, scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Interpolates a seed's curve [E] at the env steps `grid`; rows without a score are left out."""
    present = np.isfinite(scores)
    return np.interp(grid, seed_steps[present], scores[present])


def common_grid(first: float, every: float, last: float) -> np.ndarray:
    """Returns env steps at which to compare curves: the first that all have, multiples of `every`, and the last of any.

    The last evaluation of a seed is slightly after the budget, at a different step for each seed. Its value is used
    from there on, so that a curve ends with the mean of the seeds' last evaluations.
    """
    inner = every * np.arange(1, int(last // every) + 1)
    return np.unique([min(first, last), *inner[(inner > first) & (inner < last)], last])
