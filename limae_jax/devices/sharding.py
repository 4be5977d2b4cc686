"""Seeds over devices and hosts. Seeds never talk to each other, so a program over them has no traffic."""

from __future__ import annotations

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

SEED_AXIS = "seed"
BY_SEED = PartitionSpec(SEED_AXIS)
SHARED = PartitionSpec()


def seed_mesh(num_devices: int | None = None) -> Mesh:
    """The first devices of all hosts along one axis; None takes all."""
    return Mesh(np.asarray(jax.devices()[:num_devices]), (SEED_AXIS,))


def put_seeds(values: np.ndarray, mesh: Mesh) -> jax.Array:
    """Places [S] host values so that each device holds its seeds."""
    sharding = NamedSharding(mesh, BY_SEED)
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])
