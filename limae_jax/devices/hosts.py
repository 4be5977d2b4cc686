"""Communication between the hosts of a run; a single host sends nothing."""

from __future__ import annotations

import jax
import numpy as np
from jax.experimental import multihost_utils

from limae_jax.types import PyTree


def fetch(tree: PyTree) -> PyTree:
    """Gathers arrays [S, ...] from all hosts; returns them as numpy on every host."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    return jax.tree.map(lambda x: multihost_utils.process_allgather(x, tiled=True), tree)


def any_host(*flags: bool) -> tuple[bool, ...]:
    """Returns for each flag whether it is True on any host, so that all hosts take the same branch."""
    if jax.process_count() == 1:
        return flags
    votes = multihost_utils.process_allgather(np.asarray(flags))
    return tuple(bool(vote) for vote in votes.any(axis=0))


def wait_for_hosts(what: str) -> None:
    """Blocks until every host has made this call; `what` names it."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def of_first_host(value: int) -> int:
    """Returns the first host's value on every host."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))
