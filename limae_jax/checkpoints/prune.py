"""What a finished group keeps on disk only to go on exactly, and giving it up. Nothing here imports jax."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from limae_jax.checkpoints import files
from limae_jax.errors import InputError

# As many checkpoints as a store keeps.
_KEPT = 2


class Superfluous(NamedTuple):
    """What can go from a folder of checkpoints.

    Attributes:
        manifests: of the checkpoints that stay, those that refer to replay rows.
        folders: to be deleted, in this order.
    """

    manifests: list[dict[str, Any]]
    folders: list[Path]

    @property
    def num_bytes(self) -> int:
        """What deleting the folders frees."""
        return sum(files.bytes_below(folder) for folder in self.folders)


def find_superfluous(state: Path, step: int) -> Superfluous:
    """Looks through the checkpoints of a finished group.

    Args:
        state: their folder.
        step: at which the group was finished.

    Raises:
        InputError: the newest whole checkpoint is not of that step, so that the replay is still needed.
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
    # Checkpoints before the rows that they refer to.
    gone = [*superseded, *sorted(state.glob("rows_[0-9]*")), *leftovers]
    return Superfluous([manifest for manifest in whole if manifest["segments"]], gone)


def _manifest_if_whole(folder: Path) -> dict[str, Any] | None:
    """The manifest of a checkpoint whose own files are as they were written; its rows do not matter."""
    try:
        manifest = files.read_manifest(folder)
        files.verify_files(folder.parent, _without_rows(manifest)["files"])
    except files.DamagedError:
        return None
    return manifest


def give_up(state: Path, superfluous: Superfluous) -> None:
    """Gives up what `find_superfluous` found; killed at any moment, it leaves the newest checkpoint whole."""
    for manifest in superfluous.manifests:
        files.replace_manifest(state / manifest["name"], _without_rows(manifest))
    for folder in superfluous.folders:
        files.discard(folder)


def _without_rows(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest of the same state with an empty replay."""
    own = {name: spec for name, spec in manifest["files"].items() if name.startswith(f"{manifest['name']}/")}
    return {**manifest, "rows_added": 0, "segments": [], "files": own}
