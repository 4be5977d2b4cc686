"""A state that tells from which step it is, and programs that save it; the tests run them as processes of their own."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from limae_jax.checkpoints import arrays as checkpoint_arrays
from limae_jax.checkpoints.params import load_params, save_params
from limae_jax.checkpoints.store import CheckpointStore

CAPACITY = 24
SEEDS = 2


def rows_at(step: int) -> int:
    """Rows added by `step`: uneven steps, some of them 0, some more than the ring holds."""
    return sum((3, 0, 5, 1, 40)[i % 5] for i in range(step))


def numpy_state(step: int, capacity: int = CAPACITY) -> tuple[dict, list]:
    """(small, ring) as numpy. The ring is written row by row, as a run would."""
    small = {
        "params": {"w": np.full((SEEDS, 5, 3), step, np.float32), "b": np.full((SEEDS, 3), -step, jnp.bfloat16)},
        "count": np.full((SEEDS,), step, np.int32),
        "flag": np.full((SEEDS,), step % 2 == 0),
    }
    obs = np.zeros((SEEDS, capacity, 4), np.float16)
    first = np.zeros((SEEDS, capacity), bool)
    number = np.zeros((SEEDS, capacity), np.int32)
    for row in range(rows_at(step)):
        for seed in range(SEEDS):
            obs[seed, row % capacity] = np.arange(4) + row % 512 + 0.5 * seed
        first[:, row % capacity] = row % 3 == 0
        number[:, row % capacity] = row + 1
    return small, [{"obs": obs, "first": first}, {"number": number}]


def device_state(step: int, sharding: jax.sharding.Sharding | None = None) -> tuple[dict, list]:
    """(small, ring) as jax arrays, seeds sharded over the devices if a sharding is given."""

    def put(leaf: np.ndarray) -> jax.Array:
        if sharding is None:
            return jnp.asarray(leaf)
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

    return jax.tree.map(put, numpy_state(step))


def templates(state: tuple[dict, list]) -> tuple[dict, list]:
    """Shapes, dtypes and shardings of a state."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)


def check_state(small: dict, ring: list, step: int) -> None:
    """Asserts that this process's part of the arrays is exactly the state of `step`."""
    for got, wanted in zip(jax.tree.leaves((small, ring)), jax.tree.leaves(numpy_state(step)), strict=True):
        assert got.dtype == wanted.dtype
        assert got.shape == wanted.shape
        for shard in got.addressable_shards:
            np.testing.assert_array_equal(np.asarray(shard.data), wanted[shard.index])


def command(*arguments: object) -> list[str]:
    """Runs this file in a process of its own, in `environment()`."""
    return [sys.executable, __file__, *map(str, arguments)]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path, "XLA_FLAGS": ""}


def save_step(run: Path, store: CheckpointStore, step: int) -> None:
    """Saves as a run does: sometimes the best parameters, then the last ones, then everything."""
    small, ring = device_state(step)
    for name in ("best", "last") if step % 3 else ("last",):
        save_params(run / name, small["params"], {"iteration": [step]})
    store.save(step, small, ring, rows_at(step), {"step": step})


def check_params(directory: Path) -> int:
    """Asserts that parameters are exactly those of one step; returns it."""
    template = templates(device_state(0))[0]["params"]
    params, host = load_params(directory, template)
    (step,) = host["iteration"]
    for got, wanted in zip(jax.tree.leaves(params), jax.tree.leaves(numpy_state(step)[0]["params"]), strict=True):
        np.testing.assert_array_equal(np.asarray(got), wanted)
    return step


def save_forever(run: Path) -> None:
    """Continues from what is there and saves step after step, saying so, until it is killed."""
    store = CheckpointStore(run / "state")
    restored = store.restore(*templates(device_state(0)))
    step = 0
    if restored is not None:
        step = restored.step
        check_state(restored.small, restored.ring, step)
    while True:
        step += 1
        save_step(run, store, step)
        sys.stdout.write(f"{step}\n")
        sys.stdout.flush()


def be_slow_to_read_back() -> None:
    """By then the other process may have moved what was saved to where it stays."""
    is_whole = checkpoint_arrays._is_whole

    def late(folder: Path, leaves: dict[str, jax.Array]) -> bool:
        time.sleep(1)
        return is_whole(folder, leaves)

    checkpoint_arrays._is_whole = late


def save_in_two_processes(directory: Path, port: int, index: int) -> None:
    """Saves and restores seeds that are spread over two processes."""
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=index)
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()), ("seed",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("seed"))
    assert jax.process_count() == 2
    if index == 1:
        be_slow_to_read_back()
    store = CheckpointStore(directory)
    assert store.restore(*templates(device_state(0, sharding))) is None
    for step in (3, 5, 6):
        store.save(step, *device_state(step, sharding), rows_at(step), {"step": step})
    restored = CheckpointStore(directory).restore(*templates(device_state(0, sharding)))
    assert restored is not None
    assert restored.host == {"step": 6}
    assert all(leaf.sharding == sharding for leaf in jax.tree.leaves((restored.small, restored.ring)))
    check_state(restored.small, restored.ring, 6)


if __name__ == "__main__":
    if sys.argv[1] == "forever":
        save_forever(Path(sys.argv[2]))
    else:
        save_in_two_processes(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
