"""Statistics of few seeds, after Agarwal et al. 2021 (Deep RL at the Edge of the Statistical Precipice).

Arrays of scores have a row for each seed; several maps are several strata, resampled each by itself. Every interval is
a 95 % percentile bootstrap with a generator of its own, so that it does not depend on what else is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

NUM_RESAMPLES = 2000
_TAILS = (2.5, 97.5)
_GENERATOR_SEED = 20_261_124

# Of evaluations in a row whose mean is a window.
WINDOW = 3


class Estimate(NamedTuple):
    """A statistic with its interval; `low` and `high` are NaN where a stratum of one seed leaves none."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def interquartile_mean(scores: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean without the lowest and the highest floor(n / 4) of n; the mean if n < 4."""
    count = scores.shape[axis]
    kept = np.arange(count // 4, count - count // 4)
    return np.mean(np.take(np.sort(scores, axis=axis), kept, axis=axis), axis=axis)


def bootstrap(strata: Sequence[np.ndarray], statistic: Callable[[list[np.ndarray]], np.ndarray]) -> Estimate:
    """A statistic, and its interval under resampling of each stratum's rows.

    Args:
        strata: arrays [N_k, ...], at least one row each.
        statistic: of the strata [..., N_k, ...] with a leading axis of resamples, which it keeps.

    Returns:
        The statistic of `strata`, with bounds.
    """
    value = np.asarray(statistic([stratum[None] for stratum in strata]))[0]
    # A single seed does not vary under resampling, so bounds would be those of the others alone.
    if any(len(stratum) == 1 for stratum in strata):
        return Estimate(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    generator = np.random.default_rng(_GENERATOR_SEED)
    drawn = [stratum[generator.integers(len(stratum), size=(NUM_RESAMPLES, len(stratum)))] for stratum in strata]
    with np.errstate(invalid="ignore"):
        low, high = np.percentile(np.asarray(statistic(drawn)), _TAILS, axis=0)
    return Estimate(value, low, high)


def iqm_estimate(strata: Sequence[np.ndarray]) -> Estimate:
    """Interquartile mean over all rows of all strata [N_k, ...]."""
    return bootstrap(strata, lambda drawn: interquartile_mean(np.concatenate(drawn, axis=1), axis=1))


def probability_of_improvement(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> Estimate:
    """P(a seed of ours scores higher than one of theirs), a tie counting half; the mean over maps.

    Args:
        ours, theirs: scores [N_k] on each map.
    """

    def statistic(drawn: list[np.ndarray]) -> np.ndarray:
        pairs = zip(drawn[: len(ours)], drawn[len(ours) :], strict=True)
        return np.mean([_share_won(mine, other) for mine, other in pairs], axis=0)

    return bootstrap([*ours, *theirs], statistic)


def _share_won(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    difference = ours[:, :, None] - theirs[:, None, :]
    return np.mean((difference > 0) + 0.5 * (difference == 0), axis=(1, 2))


def performance_profile(strata: Sequence[np.ndarray], thresholds: np.ndarray) -> Estimate:
    """Share of seeds that score above each threshold [K], over all maps [N_k] together."""

    def statistic(drawn: list[np.ndarray]) -> np.ndarray:
        return np.mean(np.concatenate(drawn, axis=1)[..., None] > thresholds, axis=1)

    return bootstrap(strata, statistic)


class SpeedUp(NamedTuple):
    """How many times sooner a method gets somewhere than another.

    Attributes:
        ratio: of mean env steps, theirs over ours, seeds that never got there counted with the budget.
        is_at_least, is_at_most: the ratio is a bound, for some of their (of our) seeds never got there.
    """

    ratio: Estimate
    is_at_least: bool
    is_at_most: bool


def speed_up(ours: np.ndarray, theirs: np.ndarray, budget: float) -> SpeedUp:
    """Ratio of restricted mean env steps, the standard comparison of means under censoring.

    Args:
        ours, theirs: [N] env steps of each seed; infinite if it never got there.
        budget: env steps that every seed had.
    """

    def statistic(drawn: list[np.ndarray]) -> np.ndarray:
        mine, other = (np.mean(np.minimum(steps, budget), axis=1) for steps in drawn)
        return other / mine

    ratio = bootstrap([ours, theirs], statistic)
    return SpeedUp(ratio, bool(np.isinf(theirs).any()), bool(np.isinf(ours).any()))


def reached_at(passed: np.ndarray, scores: np.ndarray, goal: float) -> float:
    """`passed` [E], env steps or seconds, at the first evaluation [E] that reaches `goal`; infinite if none does."""
    reached = np.flatnonzero(scores >= goal)
    return float(passed[reached[0]]) if len(reached) else float("inf")


def mean_until(env_steps: np.ndarray, scores: np.ndarray, budget: float) -> float:
    """Area under a curve over [0, budget], divided by the budget: its mean. Before the first evaluation it is that."""
    knots = np.unique([0.0, *env_steps[env_steps < budget], budget])
    return float(np.trapezoid(np.interp(knots, env_steps, scores), knots) / budget)


def window_means(scores: np.ndarray) -> np.ndarray:
    """Means of every WINDOW evaluations in a row; of all of them if there are fewer."""
    size = min(WINDOW, len(scores))
    return np.convolve(scores, np.full(size, 1.0 / size), mode="valid")


def late_drop(scores: np.ndarray) -> float:
    """Largest fall from one window's mean to a later one's in the second half of the windows; 0 if it never fell."""
    means = window_means(scores)
    late = means[len(means) // 2 :]
    return float(np.max(np.maximum.accumulate(late) - late))


def at(seed_steps: np.ndarray, scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A seed's curve [E] at the env steps `grid`, interpolated; rows without a score are left out."""
    present = np.isfinite(scores)
    return np.interp(grid, seed_steps[present], scores[present])


def common_grid(first: float, every: float, last: float) -> np.ndarray:
    """Env steps at which curves are compared: the first that all have, multiples of `every`, and the last of all.

    A seed is evaluated a last time a little after the budget, each at a step of its own; from there on it counts with
    that value, so that a curve ends with the mean of the seeds' last evaluations.
    """
    inner = every * np.arange(1, int(last // every) + 1)
    return np.unique([min(first, last), *inner[(inner > first) & (inner < last)], last])
