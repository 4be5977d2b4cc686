"""Compiles a function of one seed into a program for many seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding

from limae_jax.devices.sharding import BY_SEED, SHARED
from limae_jax.training.compiler import Compiler, compile_for
from limae_jax.types import PyTree


class SeedProgram:
    """A function of one seed, compiled for many seeds: vmapped within a device, sharded over devices.

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
        """Makes a program, which is compiled on its first call.

        Args:
            function: of one seed; its first argument and all results are per seed.
            mesh: see `seed_mesh`.
            name: of the program, shown while it compiles.
            compiler: compiles the program.
            donate: whether to donate the first argument, which the caller must not use again.
            in_turn: whether a device runs its seeds one after the other instead of vmapped.
        """

        def batched(per_seed: PyTree, shared: tuple[PyTree, ...]) -> PyTree:
            if in_turn:
                return jax.lax.map(lambda one: function(one, *shared), per_seed)
            if jax.tree.leaves(per_seed)[0].shape[0] > 1:
                return jax.vmap(lambda one: function(one, *shared))(per_seed)
            # No vmap for a single seed: it would run both branches of every condition on the seed's state.
            result = function(jax.tree.map(lambda x: x[0], per_seed), *shared)
            return jax.tree.map(lambda x: x[None], result)

        # check_vma=False: scans inside the environments start from constants, which the check rejects.
        sharded = jax.shard_map(batched, mesh=mesh, in_specs=(BY_SEED, SHARED), out_specs=BY_SEED, check_vma=False)
        self._jitted = jax.jit(sharded, donate_argnums=(0,) if donate else ())
        self._name, self._compiler, self._mesh = name, compiler, mesh
        self._compiled: dict[int, Callable[..., Any]] = {}

    def __call__(self, per_seed: PyTree, *shared: PyTree) -> Any:
        """Returns the function's results with a leading [S]; compiles first if S is new."""
        num_seeds = _num_seeds(per_seed)
        if num_seeds not in self._compiled:
            self._compiled[num_seeds] = self._compiler.compile(self._name, self._build(per_seed, shared))
        return self._compiled[num_seeds](per_seed, shared)

    def start(self, per_seed: PyTree, *shared: PyTree) -> None:
        """Starts to compile for arguments of these shapes and shardings, unless that is done."""
        if _num_seeds(per_seed) not in self._compiled:
            self._compiler.start(self._name, self._build(per_seed, shared))

    def shapes(self, per_seed: PyTree, *shared: PyTree) -> PyTree:
        """Returns shapes, dtypes and shardings of the results, without compiling."""
        by_seed = NamedSharding(self._mesh, BY_SEED)
        shapes = self._jitted.eval_shape(per_seed, shared)
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=by_seed), shapes)

    def _build(self, per_seed: PyTree, shared: tuple[PyTree, ...]) -> Callable[[], Callable[..., Any]]:
        return lambda: compile_for(self._jitted, per_seed, shared)


def _num_seeds(per_seed: PyTree) -> int:
    return int(jax.tree.leaves(per_seed)[0].shape[0])
