"""Statistics for few seeds, after Agarwal et al. 2021 (Deep RL at the Edge of the Statistical Precipice).

Arrays of scores have a row per seed; maps are strata that are resampled separately. Every interval is a 95 % percentile
bootstrap with its own generator, so that it does not depend on other computations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

NUM_RESAMPLES = 2000
_TAILS = (2.5, 97.5)
_GENERATOR_SEED = 20_261_124

# Consecutive evaluations in a window.
WINDOW = 3


class Estimate(NamedTuple):
    """A statistic with its interval; `low` and `high` are NaN if a stratum has only one seed."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def interquartile_mean(scores: np.ndarray, axis: int = 0) -> np.ndarray:
    """Returns the mean without the lowest and highest floor(n / 4) of n scores; the mean if n < 4."""
    count = scores.shape[axis]
    kept = np.arange(count // 4, count - count // 4)
    return np.mean(np.take(np.sort(scores, axis=axis), kept, axis=axis), axis=axis)


def bootstrap(strata: Sequence[np.ndarray], statistic: Callable[[list[np.ndarray]], np.ndarray]) -> Estimate:
    """Computes a statistic, and its interval by resampling the rows of each stratum.

    Args:
        strata: arrays [N_k, ...], at least one row each.
        statistic: maps strata [R, N_k, ...] to values [R, ...]; R is the number of resamples.

    Returns:
        The statistic of `strata`, with bounds.
    """
    value = np.asarray(statistic([stratum[None] for stratum in strata]))[0]
    # A single seed does not vary under resampling, so the interval would ignore its stratum.
    if any(len(stratum) == 1 for stratum in strata):
        return Estimate(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    generator = np.random.default_rng(_GENERATOR_SEED)
    drawn = [stratum[generator.integers(len(stratum), size=(NUM_RESAMPLES, len(stratum)))] for stratum in strata]
    with np.errstate(invalid="ignore"):
        low, high = np.percentile(np.asarray(statistic(drawn)), _TAILS, axis=0)
    return Estimate(value, low, high)


def iqm_estimate(strata: Sequence[np.ndarray]) -> Estimate:
    """Estimates the interquartile mean over all rows of all strata [N_k, ...]."""
    return bootstrap(strata, lambda drawn: interquartile_mean(np.concatenate(drawn, axis=1), axis=1))


def probability_of_improvement(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> Estimate:
    """Estimates P(a seed of ours scores higher than one of theirs), the mean over maps; a tie counts half.

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
    """Estimates the share of seeds that score above each threshold [K], over all maps [N_k] together."""

    def statistic(drawn: list[np.ndarray]) -> np.ndarray:
        return np.mean(np.concatenate(drawn, axis=1)[..., None] > thresholds, axis=1)

    return bootstrap(strata, statistic)


class SpeedUp(NamedTuple):
    """The factor by which a method reaches a goal sooner than another method.

    Attributes:
        ratio: of mean env steps, theirs over ours; seeds that never reached the goal count with the budget.
        is_at_least, is_at_most: whether the ratio is a bound, because some of their (our) seeds never reached it.
    """

    ratio: Estimate
    is_at_least: bool
    is_at_most: bool


def speed_up(ours: np.ndarray, theirs: np.ndarray, budget: float) -> SpeedUp:
    """Estimates the ratio of restricted mean env steps, the standard comparison of means under censoring.

    Args:
        ours, theirs: [N] env steps of each seed; infinite if it never reached the goal.
        budget: env steps of every seed.
    """

    def statistic(drawn: list[np.ndarray]) -> np.ndarray:
        mine, other = (np.mean(np.minimum(steps, budget), axis=1) for steps in drawn)
        return other / mine

    ratio = bootstrap([ours, theirs], statistic)
    return SpeedUp(ratio, bool(np.isinf(theirs).any()), bool(np.isinf(ours).any()))


def reached_at(passed: np.ndarray, scores: np.ndarray, goal: float) -> float:
    """Returns the entry of `passed` [E], steps or seconds, at the first score [E] of at least `goal`; else infinity."""
    reached = np.flatnonzero(scores >= goal)
    return float(passed[reached[0]]) if len(reached) else float("inf")


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
