"""Each seed's best parameters so far, stored separately from the run's state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from limae_jax.checkpoints.params import has_params, iterations_of, load_params, save_params
from limae_jax.checkpoints.store import DamagedCheckpointError
from limae_jax.devices.sharding import put_seeds
from limae_jax.runs.records import BEST
from limae_jax.training.progress import Progress
from limae_jax.training.shares import Share
from limae_jax.types import PyTree


@jax.jit
def _select(chosen: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    """Selects for each seed [S] the new tree where `chosen`, otherwise the old tree."""
    return jax.tree.map(lambda a, b: jnp.where(jnp.reshape(chosen, (-1,) + (1,) * (a.ndim - 1)), a, b), new, old)


class BestParams:
    """The best parameters of a group's seeds; the scores are in the group's `Progress`.

    Attributes:
        params: leaves [S, ...].
        is_lost: [S] bool, seeds whose stored parameters could not be read.
    """

    def __init__(self, params: PyTree, shares: Sequence[Share], mesh: Mesh):
        """Starts with a copy of the parameters, [S, ...]."""
        self.params = jax.tree.map(jnp.copy, params)
        self.is_lost = np.zeros(sum(len(share.seeds) for share in shares), bool)
        self._shares, self._mesh = shares, mesh

    def restore(self, progress: Progress, warn: Callable[[str], None]) -> None:
        """Loads the stored parameters, and sets their scores in `progress` to those saved with them."""
        self.params, hosts = load_shares(self._shares, BEST, self.params)
        for share, host in zip(self._shares, hosts, strict=True):
            own = slice(share.begin, share.end)
            if host is None:
                scores = zip(share.seeds, progress.best_score[own], progress.best_iteration[own], strict=True)
                lost = [f"seed {seed} ({best:.3g} at iteration {at})" for seed, best, at in scores if best is not None]
                self.is_lost[own] = [score is not None for score in progress.best_score[own]]
                host = {"iteration": [0] * len(share.seeds), "score": [None] * len(share.seeds)}
                if lost:
                    warn(
                        f"{share.directory / BEST}: is damaged or gone; the best parameters of "
                        f"{', '.join(lost)} are lost and start again from the current ones"
                    )
            progress.best_iteration[own], progress.best_score[own] = host["iteration"], host["score"]

    def keep(self, params: PyTree, results: dict[str, np.ndarray], among: np.ndarray, progress: Progress) -> None:
        """Keeps and saves the parameters of the seeds whose score is at least their best so far.

        Args:
            params: leaves [S, ...].
            results: [S] each, results of the evaluation of `params`.
            among: [S] bool, seeds to consider.
            progress: of the group; its best scores are updated.
        """
        score = results.get("test_win_rate", results["test_return_mean"])
        best = np.asarray([-np.inf if best is None else best for best in progress.best_score])
        is_better = (score >= best) & among
        if is_better.any():
            progress.best_score = [float(x) if np.isfinite(x) else None for x in np.where(is_better, score, best)]
            progress.best_iteration = np.where(is_better, progress.iteration, progress.best_iteration).tolist()
            self.params = _select(put_seeds(is_better, self._mesh), params, self.params)
        # Damaged parameters of failed seeds are written again too: until then the run is not finished.
        self._save(is_better | self.is_lost, progress)

    def _save(self, chosen: np.ndarray, progress: Progress) -> None:
        host: dict[str, list[Any]] = {"iteration": progress.best_iteration, "score": progress.best_score}
        save_shares(self._shares, BEST, self.params, host, chosen)
        self.is_lost &= ~chosen


def save_shares(
    shares: Sequence[Share], name: str, params: PyTree, host: dict[str, list[Any]], chosen: np.ndarray
) -> None:
    """Saves parameters under `name` to the runs of the `chosen` seeds [S]; the lists of `host` are [S] too."""
    for share in shares:
        own = slice(share.begin, share.end)
        if chosen[own].any():
            tree = params if len(shares) == 1 else share.of(params)
            save_params(share.directory / name, tree, {key: values[own] for key, values in host.items()})


def load_shares(shares: Sequence[Share], name: str, params: PyTree) -> tuple[PyTree, list[dict[str, Any] | None]]:
    """Loads what `save_shares` saved.

    Args:
        shares: of a group.
        name: name of the saved parameters.
        params: leaves [S, ...], used for runs whose files are missing or damaged.

    Returns:
        (leaves [S, ...], `host` of each share or None)
    """
    parts = [params] if len(shares) == 1 else [share.of(params) for share in shares]
    hosts: list[dict[str, Any] | None] = [None] * len(shares)
    for index, share in enumerate(shares):
        if has_params(share.directory / name):
            with contextlib.suppress(DamagedCheckpointError):
                loaded, host = load_params(share.directory / name, parts[index])
                iterations_of(share.directory / name, host, len(share.seeds))
                parts[index], hosts[index] = loaded, host
    if len(parts) == 1:
        return parts[0], hosts
    whole = jax.tree.map(lambda old, *own: jax.device_put(np.concatenate(own), old.sharding), params, *parts)
    return whole, hosts
