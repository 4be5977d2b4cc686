"""The parameters `best` and `last`, saved beside a run's state for evaluation; each is replaced atomically."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from limae_jax.checkpoints.store import CheckpointStore, DamagedCheckpointError
from limae_jax.errors import InputError
from limae_jax.types import PyTree

_WAY_OUT = "resume the run or sweep, which saves the parameters again"

# How often a reader tries again after another process replaced the checkpoint.
_MOST_TRIES = 20

T = TypeVar("T")


def check_place(directory: Path) -> None:
    """Checks that parameters can be kept in `directory`.

    Raises:
        InputError: it is not a folder.
    """
    CheckpointStore(directory)


def has_params(directory: Path) -> bool:
    """Whether `save_params` ever finished in `directory`."""
    return CheckpointStore(directory).exists()


def save_params(directory: Path, tree: PyTree, host: dict[str, Any]) -> None:
    """Saves `tree` and `host` in place of what `directory` holds; a kill leaves the old or the new version."""
    CheckpointStore(directory).save(0, tree, (), 0, host)


def read_host(directory: Path) -> dict[str, Any] | None:
    """Returns the `host` that `save_params` saved; None if nothing was saved.

    Raises:
        DamagedCheckpointError: the checkpoint is damaged.
    """
    return _read_while_replaced(directory, lambda store: store.read_host())


def iterations_of(directory: Path, host: dict[str, Any], num_seeds: int) -> list[int]:
    """Returns the iteration at which each seed had the parameters in `directory`.

    Args:
        directory: where they were saved.
        host: from `read_host` or `load_params`.
        num_seeds: of the group.

    Raises:
        DamagedCheckpointError: `host` has no valid iterations.
    """
    found = host.get("iteration")
    if not (isinstance(found, list) and len(found) == num_seeds and all(type(one) is int for one in found)):
        raise DamagedCheckpointError(f"checkpoint={directory}: host has no valid iteration; {_WAY_OUT}")
    return found


def load_params(directory: Path, template: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Returns (tree, host) as `save_params` saved them.

    Raises:
        DamagedCheckpointError: the checkpoint is damaged.
        InputError: nothing was saved, or the arrays do not match the template.
    """
    restored = _read_while_replaced(directory, lambda store: store.restore(template, ()))
    if restored is None:
        raise InputError(f"checkpoint={directory}: holds no parameters; train the run first")
    return restored.small, restored.host


def _read_while_replaced(directory: Path, read: Callable[[CheckpointStore], T]) -> T:
    """Returns the result of `read`, repeated while another process replaces the checkpoint."""
    store = CheckpointStore(directory, way_out=_WAY_OUT)
    for _ in range(_MOST_TRIES):
        names = store.names()
        try:
            return read(store)
        except (DamagedCheckpointError, OSError):
            if store.names() == names:
                raise
    raise InputError(f"checkpoint={directory}: was replaced {_MOST_TRIES} times while being read; try again later")
