"""How well a linear model guesses team-mates: the reference beside the R2 of the agents' reconstructions.

For a viewer and a team-mate, ridge regression maps the viewer's window (and the state of its GRU) to the team-mate's
observation and previous action. It is fitted on one half of the episodes and measured on the other, and the reverse.
R2 is defined as in `systems.belief_quality`: relative to the same feature's mean at the same step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import jax
import numpy as np

from limae_jax.networks.mae import other_agents
from limae_jax.rollouts.trajectories import Trajectories
from limae_jax.systems.belief_quality import MIN_VARIANCE

# Penalties, relative to the variance of a feature; the one with the best R2 counts, so that the reference is not low.
_PENALTIES = (1e-3, 1e-2, 1e-1)
# Larger windows have no reference: the regression would take minutes and gigabytes.
_MAX_INPUTS = 2000
# Pairs of viewer and team-mate that are fitted; of more, as many are taken at equal distances.
_MAX_PAIRS = 30


class _Half(NamedTuple):
    """Inputs [R, D] and targets [R, F] of one half of the episodes, with their means and centred second moments."""

    x: np.ndarray
    y: np.ndarray
    mean_x: np.ndarray
    mean_y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> _Half:
        mean_x, mean_y = x.mean(0), y.mean(0)
        centred = x - mean_x
        return cls(x, y, mean_x, mean_y, centred.T @ centred / len(x), centred.T @ (y - mean_y) / len(x))

    def errors_on(self, other: _Half, size: int) -> np.ndarray:
        """Returns the squared errors [penalties, F] on the other half of fits to the first `size` inputs of this."""
        xx, errors = self.xx[:size, :size], []
        for penalty in _PENALTIES:
            # Inputs that never vary have weight 0.
            weights = np.linalg.solve(xx + np.diag(penalty * np.diag(xx) + 1e-8), self.xy[:size])
            guess = (other.x[:, :size] - self.mean_x[:size]) @ weights + self.mean_y
            errors.append(np.sum(np.square(other.y - guess), axis=0))
        return np.stack(errors)


def windows(tokens: np.ndarray, window: int) -> np.ndarray:
    """Returns an agent's windows, the newest step first, then whether each step is present.

    Args:
        tokens: [T, B, F] of one agent in episodes that begin together.
        window: L.

    Returns:
        [T, B, L F + L]; absent steps are 0.
    """
    steps, episodes, _ = tokens.shape
    back = [np.concatenate([np.zeros_like(tokens[:n]), tokens[: max(steps - n, 0)]])[:steps] for n in range(window)]
    present = (np.arange(steps)[:, None] >= np.arange(window)).astype(tokens.dtype)
    return np.concatenate([*back, np.broadcast_to(present[:, None], (steps, episodes, window))], axis=-1)


def _deviation(tokens: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """Returns tokens [T, B, F] minus their means over the other episodes; NaN where the agent lives in no other."""
    count = alive.sum(1, keepdims=True)[..., None]
    total = np.sum(np.where(alive[..., None], tokens, 0.0), axis=1, keepdims=True)
    return tokens - (total - tokens) / np.where(count > 1, count - 1, np.nan).astype(tokens.dtype)


def has_reference(num_features: int, window: int) -> bool:
    """Returns whether ridge regression is practicable for windows of L steps of F features."""
    return window * num_features <= _MAX_INPUTS


def ridge_r2(parts: Sequence[Trajectories], window: int) -> dict[str, float]:
    """Returns R2 of ridge regression: "r2_ridge" on the own window, "r2_ridge_gru" on the own window and GRU state.

    Args:
        parts: recorded episodes, numpy arrays.
        window: L.

    Returns:
        NaN if no feature varies.
    """
    played = jax.tree.map(lambda *each: np.concatenate(each, axis=1), *parts)
    tokens, alive = played.tokens, played.alive & played.is_running[..., None]
    num_agents, num_features = tokens.shape[2:]
    is_odd = np.broadcast_to(np.arange(tokens.shape[1]) % 2 == 1, alive.shape[:2])
    pairs = [(viewer, mate) for viewer, mates in enumerate(other_agents(num_agents)) for mate in mates]
    pairs = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, _MAX_PAIRS).astype(int))]
    size = window * num_features + window
    sizes = {"r2_ridge": size, "r2_ridge_gru": size + played.hidden.shape[-1]}

    @lru_cache(maxsize=1)
    def inputs(viewer: int) -> np.ndarray:
        return np.concatenate([windows(tokens[:, :, viewer], window), played.hidden[:, :, viewer]], axis=-1)

    errors = {name: np.zeros((len(_PENALTIES), num_features)) for name in sizes}
    spread, weight = np.zeros(num_features), 0
    for viewer, mate in pairs:
        deviation = _deviation(tokens[:, :, mate], alive[:, :, mate])
        counted = alive[:, :, viewer] & alive[:, :, mate] & np.isfinite(deviation[..., 0])
        chosen = [counted & is_odd, counted & ~is_odd]
        if not all(half.any() for half in chosen):
            continue
        one, other = (_Half.of(inputs(viewer)[half], tokens[:, :, mate][half]) for half in chosen)
        for name, size in sizes.items():
            errors[name] += one.errors_on(other, size) + other.errors_on(one, size)
        spread += np.sum(np.square(deviation[counted]), axis=0)
        weight += counted.sum()
    varies = spread > MIN_VARIANCE * weight
    if not varies.any():
        return dict.fromkeys(sizes, float("nan"))
    r2 = {name: 1 - error[:, varies] / spread[varies] for name, error in errors.items()}
    return {name: float(np.max(np.mean(each, axis=1))) for name, each in r2.items()}
