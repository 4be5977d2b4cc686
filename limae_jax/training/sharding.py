"""Seeds over devices and hosts. Seeds never talk to each other, so a program over them has no traffic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from limae_jax.run_records import fillers
from limae_jax.training.compiler import Compiler
from limae_jax.types import PyTree

SEED_AXIS = "seed"
BY_SEED = PartitionSpec(SEED_AXIS)
SHARED = PartitionSpec()


def seed_mesh(num_devices: int | None = None) -> Mesh:
    """The first devices of all hosts along one axis; None takes all."""
    return Mesh(np.asarray(jax.devices()[:num_devices]), (SEED_AXIS,))


class SeedProgram:
    """A function of one seed, compiled for many: vmapped within a device, split over the devices.

    Called as program(per_seed with a leading [S], *shared); S is a multiple of the number of devices.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        mesh: Mesh,
        name: str,
        compiler: Compiler,
        donate: bool = False,
        in_turn: bool = False,
    ):
        """Makes a program; it is compiled when it is first called.

        Args:
            function: of one seed; its first argument and all results are per seed.
            mesh: see `seed_mesh`.
            name: of the program, as it is shown while it compiles.
            compiler: compiles it.
            donate: the first argument's memory is reused for the result; the caller must not touch it again.
            in_turn: a device takes its seeds one after the other instead of vmapped.
        """

        def batched(per_seed, shared):
            if in_turn:
                return jax.lax.map(lambda one: function(one, *shared), per_seed)
            if jax.tree.leaves(per_seed)[0].shape[0] > 1:
                return jax.vmap(lambda one: function(one, *shared))(per_seed)
            # One seed alone needs no vmap, which would turn every condition on its state into both of its sides.
            result = function(jax.tree.map(lambda x: x[0], per_seed), *shared)
            return jax.tree.map(lambda x: x[None], result)

        # check_vma: scans inside the environments start from constants, which the check would refuse.
        sharded = jax.shard_map(batched, mesh=mesh, in_specs=(BY_SEED, SHARED), out_specs=BY_SEED, check_vma=False)
        self._jitted = jax.jit(sharded, donate_argnums=(0,) if donate else ())
        self._name, self._compiler = name, compiler
        self._compiled: dict[int, Callable[..., Any]] = {}

    def __call__(self, per_seed: PyTree, *shared: PyTree) -> Any:
        num_seeds = jax.tree.leaves(per_seed)[0].shape[0]
        if num_seeds not in self._compiled:
            build = lambda: self._jitted.lower(per_seed, shared).compile()  # noqa: E731
            self._compiled[num_seeds] = self._compiler.compile(self._name, build)
        return self._compiled[num_seeds](per_seed, shared)


def put_seeds(values: np.ndarray, mesh: Mesh) -> jax.Array:
    """Places [S] host values so that each device holds its seeds."""
    sharding = NamedSharding(mesh, BY_SEED)
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


def fetch(tree: PyTree) -> PyTree:
    """Arrays [S, ...] of all hosts as numpy, on every host."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    return jax.tree.map(lambda x: multihost_utils.process_allgather(x, tiled=True), tree)


def agree(*flags: bool) -> tuple[bool, ...]:
    """Each flag as "some host says so", so that all hosts take the same turn."""
    if jax.process_count() == 1:
        return flags
    votes = multihost_utils.process_allgather(np.asarray(flags))
    return tuple(bool(vote) for vote in votes.any(axis=0))


def wait_for_hosts(what: str) -> None:
    """Returns when every host is here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def group_seeds(seeds: Sequence[int], group_size: int, num_devices: int) -> list[np.ndarray]:
    """Splits seeds into groups of equal size, each a multiple of the number of devices.

    The last group is filled up with seeds beyond the last one (from 0 again after the largest int32), which train
    beside the others and are never reported.

    Returns:
        [S] int32 arrays.
    """
    size = -(-group_size // num_devices) * num_devices
    missing = -len(seeds) % size
    return list(np.asarray([*seeds, *fillers(seeds, missing)], np.int32).reshape(-1, size))
