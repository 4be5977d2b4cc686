"""What the hosts of a run agree on; with one of them nothing is sent."""

from __future__ import annotations

import jax
import numpy as np
from jax.experimental import multihost_utils

from limae_jax.types import PyTree


def fetch(tree: PyTree) -> PyTree:
    """Arrays [S, ...] of all hosts as numpy, on every host."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    return jax.tree.map(lambda x: multihost_utils.process_allgather(x, tiled=True), tree)


def any_host(*flags: bool) -> tuple[bool, ...]:
    """Each flag: whether it is True on any host, so that all hosts take the same turn."""
    if jax.process_count() == 1:
        return flags
    votes = multihost_utils.process_allgather(np.asarray(flags))
    return tuple(bool(vote) for vote in votes.any(axis=0))


def wait_for_hosts(what: str) -> None:
    """Returns when every host is here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def of_first_host(value: int) -> int:
    """The first host's value, on every host."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))
