"""Finds and deletes what a finished group keeps only to continue exactly. Nothing here imports jax."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from limae_jax.checkpoints import files
from limae_jax.errors import InputError

# Checkpoints that a store keeps.
_KEPT = 2


class Superfluous(NamedTuple):
    """What can be deleted from a folder of checkpoints.

    Attributes:
        manifests: of the kept checkpoints that refer to replay rows.
        folders: to delete, in this order.
    """

    manifests: list[dict[str, Any]]
    folders: list[Path]

    @property
    def num_bytes(self) -> int:
        """Bytes that deleting the folders frees."""
        return sum(files.bytes_below(folder) for folder in self.folders)


def find_superfluous(state: Path, step: int) -> Superfluous:
    """Finds what can be deleted from the checkpoints of a finished group.

    Args:
        state: folder of the checkpoints.
        step: at which the group finished.

    Raises:
        InputError: the newest undamaged checkpoint is of another step, so the replay is still needed.
    """
    whole: list[dict[str, Any]] = []
    checkpoints = sorted(state.glob("checkpoint_[0-9]*"))
    for folder in reversed(checkpoints):
        manifest = _manifest_if_whole(folder)
        if manifest is not None and len(whole) < _KEPT:
            whole.append(manifest)
    if not whole or whole[0]["step"] != step:
        raise InputError(f"checkpoints={state}: lacks the last checkpoint of the finished run; resume the run first")
    kept = {manifest["name"] for manifest in whole}
    superseded = [folder for folder in checkpoints if folder.name not in kept]
    leftovers = sorted(state.glob(f"{files.TEMPORARY_PREFIX}*"))
    # Checkpoints before the rows that they refer to, so that a kill leaves no checkpoint without its rows.
    gone = [*superseded, *sorted(state.glob("rows_[0-9]*")), *leftovers]
    return Superfluous([manifest for manifest in whole if manifest["segments"]], gone)


def _manifest_if_whole(folder: Path) -> dict[str, Any] | None:
    """Returns a checkpoint's manifest if its own files are undamaged, whatever its replay rows; None otherwise."""
    try:
        manifest = files.read_manifest(folder)
        files.verify_files(folder.parent, _without_rows(manifest)["files"])
    except files.DamagedError:
        return None
    return manifest


def give_up(state: Path, superfluous: Superfluous) -> None:
    """Deletes what `find_superfluous` found; a kill at any moment leaves the newest checkpoint undamaged."""
    for manifest in superfluous.manifests:
        files.replace_manifest(state / manifest["name"], _without_rows(manifest))
    for folder in superfluous.folders:
        files.discard(folder)


def _without_rows(manifest: dict[str, Any]) -> dict[str, Any]:
    """Returns the manifest of the same state with an empty replay."""
    own = {name: spec for name, spec in manifest["files"].items() if name.startswith(f"{manifest['name']}/")}
    return {**manifest, "rows_added": 0, "segments": [], "files": own}
