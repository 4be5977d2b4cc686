"""The parameters that a run keeps beside its state, `best` and `last`: to play with, each replaced as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from limae_jax.checkpoints.store import CheckpointStore, DamagedCheckpointError
from limae_jax.errors import InputError
from limae_jax.types import PyTree

_WAY_OUT = "resume its run, or its sweep, which makes them anew"

# How often a reader may be overtaken by a process that replaces what it reads.
_MOST_TRIES = 20

T = TypeVar("T")


def check_place(directory: Path) -> None:
    """Checks that parameters can be kept in `directory`.

    Raises:
        InputError: it is something else than a folder.
    """
    CheckpointStore(directory)


def has_params(directory: Path) -> bool:
    """Whether `save_params` ever finished here."""
    return CheckpointStore(directory).exists()


def save_params(directory: Path, tree: PyTree, host: dict[str, Any]) -> None:
    """Replaces what `directory` holds by `tree` and `host`; killed at any moment, it holds the old or the new."""
    CheckpointStore(directory).save(0, tree, (), 0, host)


def read_host(directory: Path) -> dict[str, Any] | None:
    """The `host` that `save_params` saved; None if there is none at all.

    Raises:
        DamagedCheckpointError: it is damaged.
    """
    return _read_while_replaced(directory, lambda store: store.read_host())


def iterations_of(directory: Path, host: dict[str, Any], num_seeds: int) -> list[int]:
    """The clock when each seed had the parameters in `directory`.

    Args:
        directory: where they were saved.
        host: of `read_host` or `load_params`.
        num_seeds: of the group.

    Raises:
        DamagedCheckpointError: the host does not say.
    """
    found = host.get("iteration")
    if not (isinstance(found, list) and len(found) == num_seeds and all(type(one) is int for one in found)):
        raise DamagedCheckpointError(f"checkpoint={directory}: host has no sound iteration; {_WAY_OUT}")
    return found


def load_params(directory: Path, template: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """What `save_params` saved: (tree, host).

    Raises:
        DamagedCheckpointError: it is damaged.
        InputError: there is nothing, or its arrays are not the template's.
    """
    restored = _read_while_replaced(directory, lambda store: store.restore(template, ()))
    if restored is None:
        raise InputError(f"checkpoint={directory}: holds no parameters; train the run first")
    return restored.small, restored.host


def _read_while_replaced(directory: Path, read: Callable[[CheckpointStore], T]) -> T:
    """What `read` finds; it reads again where another process replaced the checkpoint that it was reading."""
    store = CheckpointStore(directory, way_out=_WAY_OUT)
    for _ in range(_MOST_TRIES):
        names = store.names()
        try:
            return read(store)
        except (DamagedCheckpointError, OSError):
            if store.names() == names:
                raise
    raise InputError(f"checkpoint={directory}: was replaced {_MOST_TRIES} times while it was read; try again later")
