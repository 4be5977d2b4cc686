"""Times the forward and gradient pass of the GRU of `limae_jax.networks.gru` and of flax's cell in a scan.

python benchmarks/gru.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from limae_jax.networks.gru import Gru
from limae_jax.types import PyTree

REPEATS = 10


class FlaxGru(nn.Module):
    """flax's cell in a scan with resets, with the signature of `Gru`."""

    hidden_size: int

    @nn.compact
    def __call__(self, hidden: jax.Array, inputs: jax.Array, is_first: jax.Array) -> jax.Array:
        """Maps hidden [R, H], inputs [T, R, D] and is_first [T, R] to states [T, R, H], as `Gru` does."""

        def step(cell: nn.GRUCell, carry: jax.Array, slot: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            x, first = slot
            return cell(jnp.where(first[:, None], 0.0, carry), x)

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
        return scan(nn.GRUCell(self.hidden_size), hidden, (inputs, is_first))[1]


def milliseconds(function: Callable[[PyTree], PyTree], params: PyTree) -> float:
    """Returns the median time of a call, in a program with ten calls, so that allocation does not count."""

    @jax.jit
    def repeated(params: PyTree) -> PyTree:
        def body(params: PyTree, _: None) -> tuple[PyTree, None]:
            change = function(params)
            return jax.tree.map(lambda p, c: p + 1e-9 * c, params, change), None

        return jax.lax.scan(body, params, None, length=REPEATS)[0]

    jax.block_until_ready(repeated(params))
    times = []
    for _ in range(7):
        began = time.perf_counter()
        jax.block_until_ready(repeated(params))
        times.append((time.perf_counter() - began) / REPEATS)
    return 1000 * statistics.median(times)


def main() -> None:
    """Parses the command line and prints one JSON object per module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=129)
    parser.add_argument("--rows", type=int, default=96, help="rows of the batch times agents")
    parser.add_argument("--hidden", type=int, default=64)
    args = parser.parse_args()
    key = jax.random.key(0)
    inputs = jax.random.normal(key, (args.steps, args.rows, args.hidden))
    is_first = jax.random.uniform(key, inputs.shape[:2]) < 0.05
    hidden = jnp.zeros((args.rows, args.hidden))
    for module in (Gru(args.hidden), FlaxGru(args.hidden)):
        params = module.init(key, hidden, inputs, is_first)

        def total(params: PyTree, module: Gru | FlaxGru = module) -> jax.Array:
            states: Any = module.apply(params, hidden, inputs, is_first)
            return jnp.mean(jnp.square(states))

        def forward(params: PyTree, total: Callable[[PyTree], jax.Array] = total) -> PyTree:
            return jax.tree.map(lambda p: total(params) + jnp.zeros_like(p), params)

        row = {"module": type(module).__name__, "forward_ms": round(milliseconds(forward, params), 2)}
        print(json.dumps({**row, "gradient_ms": round(milliseconds(jax.grad(total), params), 2)}), flush=True)


if __name__ == "__main__":
    main()
