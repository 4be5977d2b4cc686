"""Writes and reads arrays, sharded over processes too. The only module that imports orbax.

A tree is stored as a list of its leaves; `shapes_of` gives their names, shapes and dtypes for the manifest.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from limae_jax.checkpoints.files import DamagedError
from limae_jax.checkpoints.view import plain, readable, unreadable_arrays
from limae_jax.checks import one_line, shorten
from limae_jax.devices.hosts import of_first_host, wait_for_hosts
from limae_jax.errors import InputError
from limae_jax.types import PyTree


def _is_told(record: logging.LogRecord) -> bool:
    """Whether a log record is kept: errors of orbax are dropped."""
    return record.levelno < logging.ERROR or "orbax" not in record.pathname + record.getMessage()


def _leave_out_late_writes() -> None:
    """Silences tensorstore's threads, which after a failed write report to an event loop that orbax has closed."""
    warnings.filterwarnings("ignore", r"coroutine '.*write_fragment' was never awaited", RuntimeWarning)
    show = sys.unraisablehook

    def shown(event: sys.UnraisableHookArgs) -> None:
        if not (isinstance(event.exc_value, RuntimeError) and str(event.exc_value) == "Event loop is closed"):
            show(event)

    sys.unraisablehook = shown


@functools.cache
def _checkpointer() -> ocp.Checkpointer:
    # orbax raises its errors and logs them too; asyncio logs a traceback for each array that was being written.
    for logger in ("absl", "asyncio"):
        logging.getLogger(logger).addFilter(_is_told)
    _leave_out_late_writes()
    # Uncompressed OCDBT is the fastest for many small arrays: a few files in total instead of two per array.
    return ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=True, use_compression=False))


def write_arrays(folder: Path, tree: PyTree) -> None:
    """Writes a tree's leaves into a new folder; every process writes its shards. Without leaves there is no folder.

    Raises:
        OSError: the leaves cannot be written, as on a full disk, or cannot be read back.
    """
    leaves = {f"{i:05d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree))}
    if leaves:
        try:
            with plain(folder) as path:
                _checkpointer().save(path, args=ocp.args.PyTreeSave(leaves))
        except ValueError as error:
            raise _system_error(error, folder) from None
    wait_for_hosts(f"written_{folder.parent.name}")
    # Process 0 checks while the others wait, because it moves the folder next.
    if leaves and not of_first_host(jax.process_index() == 0 and _is_whole(folder, leaves)):
        raise OSError(errno.EIO, "the new checkpoint cannot be read back; earlier checkpoints are kept", str(folder))


def _is_whole(folder: Path, leaves: dict[str, jax.Array]) -> bool:
    """Whether the index lists all leaves and the folder has all their bytes; orbax may not report missing ones."""
    try:
        missing = unreadable_arrays(folder, {name: leaf.shape for name, leaf in leaves.items()})
    except ValueError:  # from tensorstore, for an invalid index
        return False
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return not missing and size >= bytes_of(leaves)


def _system_error(error: ValueError, folder: Path) -> Exception:
    """Returns the OSError behind a ValueError of tensorstore; any other error unchanged."""
    number = re.search(r"os_error_code='(\d+)'", str(error))
    if number is None:
        return error
    return OSError(int(number[1]), os.strerror(int(number[1])), str(folder))


def read_arrays(folder: Path, template: PyTree) -> PyTree:
    """Reads the tree that `write_arrays` wrote, with the shape, dtype and sharding of the template's leaves.

    Raises:
        DamagedError: the arrays cannot be read.
    """
    leaves, structure = jax.tree.flatten(template)
    if not leaves:
        return template
    wanted = {
        f"{i:05d}": ocp.ArrayRestoreArgs(sharding=sharding_of(leaf), global_shape=leaf.shape, dtype=leaf.dtype)
        for i, leaf in enumerate(leaves)
    }
    args = ocp.args.PyTreeRestore(item=dict.fromkeys(wanted, 0), restore_args=wanted)
    try:
        with readable(folder) as path:
            restored = _checkpointer().restore(path, args=args)
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise DamagedError(
            f"{folder.parent.name}/{folder.name} cannot be read ({shorten(one_line(error), 100)})"
        ) from None
    return jax.tree.unflatten(structure, [restored[name] for name in wanted])


def sharding_of(leaf: Any) -> jax.sharding.Sharding:
    """Returns a leaf's sharding; the first device for a leaf without one."""
    sharding = getattr(leaf, "sharding", None)
    return sharding if sharding is not None else jax.sharding.SingleDeviceSharding(jax.local_devices()[0])


def shapes_of(tree: PyTree) -> list[list[Any]]:
    """Returns [name, shape, dtype] of every leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [[jax.tree_util.keystr(path), list(leaf.shape), str(leaf.dtype)] for path, leaf in leaves]


def check_shapes(folder: Path, saved: list[list[Any]], template: PyTree) -> None:
    """Checks that `saved`, the `shapes_of` a saved tree, matches the template.

    Raises:
        InputError: they differ.
    """
    wanted = shapes_of(template)
    if saved != wanted:
        name = next((ours[0] for ours, theirs in zip(wanted, saved, strict=False) if ours != theirs), "their number")
        raise InputError(
            f"checkpoint={folder}: its arrays do not match this run (first difference: {name}); "
            "continue it with the configuration and version that wrote it"
        )


def bytes_of(tree: PyTree) -> int:
    """Bytes of all leaves, over all devices."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
