"""Sharding of seeds over devices and hosts. Seeds are independent, so a program over them needs no communication."""

from __future__ import annotations

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

SEED_AXIS = "seed"
BY_SEED = PartitionSpec(SEED_AXIS)
SHARED = PartitionSpec()


def seed_mesh(num_devices: int | None = None) -> Mesh:
    """Returns a mesh of the first `num_devices` devices of all hosts along one axis; None takes all."""
    return Mesh(np.asarray(jax.devices()[:num_devices]), (SEED_AXIS,))


def put_seeds(values: np.ndarray, mesh: Mesh) -> jax.Array:
    """Shards [S, ...] host values over the devices of the mesh by seed."""
    sharding = NamedSharding(mesh, BY_SEED)
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])
