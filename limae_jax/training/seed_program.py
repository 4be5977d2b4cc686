"""Compiles a function of one seed into a program for many seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from limae_jax.devices.sharding import BY_SEED, SHARED
from limae_jax.training.compiler import Compiler
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
        self._name, self._compiler = name, compiler
        self._compiled: dict[int, Callable[..., Any]] = {}

    def __call__(self, per_seed: PyTree, *shared: PyTree) -> Any:
        """Returns the function's results with a leading [S]; compiles first if S is new."""
        num_seeds = jax.tree.leaves(per_seed)[0].shape[0]
        if num_seeds not in self._compiled:
            build = lambda: self._jitted.lower(per_seed, shared).compile()  # noqa: E731
            self._compiled[num_seeds] = self._compiler.compile(self._name, build)
        return self._compiled[num_seeds](per_seed, shared)
