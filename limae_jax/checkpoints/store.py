"""Saves and restores a run bit for bit; a save writes only the replay rows that are new.

    DIRECTORY/checkpoint_00000007/manifest.json   step, host state, and every file with its size and checksum
    DIRECTORY/checkpoint_00000007/small/          all arrays except the replay
    DIRECTORY/rows_00000007_000/                  replay rows, written once, shared by the checkpoints that need them

Folders are built under a temporary name, flushed to disk and renamed, the checkpoint's own folder last. The two newest
checkpoints and the rows they need are kept.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from limae_jax.checkpoints import arrays, files
from limae_jax.checkpoints import rows as rows_of
from limae_jax.checkpoints.rows import Segment
from limae_jax.devices.hosts import of_first_host, wait_for_hosts
from limae_jax.errors import InputError
from limae_jax.types import PyTree

_NO_CHECKPOINT, _NONE_WHOLE = -1, -2

WAY_OUT = "put the folder back from a copy, or start again with another run.dir"


class DamagedCheckpointError(InputError):
    """Checkpoints exist, but none can be read."""


@dataclass(frozen=True)
class SaveReport:
    """The cost of a save.

    Attributes:
        seconds: wall time.
        bytes_written: to the disk.
        rows_written: of each seed's replay; at least the new rows.
        staging_bytes: peak memory that the save needed on top of the state.
    """

    seconds: float
    bytes_written: int
    rows_written: int
    staging_bytes: int


@dataclass(frozen=True)
class Restored:
    """A run's restored state. `warnings` names damaged checkpoints that were skipped for an older one."""

    step: int
    small: PyTree
    ring: PyTree
    rows_added: int
    host: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


class CheckpointStore:
    """The checkpoints of one run; call `restore` before the first `save`.

    If a store restored nothing, its first save deletes all checkpoints in the directory. With several processes all
    make the same calls, on global arrays and a shared file system.
    """

    def __init__(self, directory: Path, row_axis: int = 1, way_out: str = WAY_OUT):
        """Creates the store; reads and writes nothing yet.

        Args:
            directory: of the checkpoints, which need not exist.
            row_axis: see `replay.base.Replay`.
            way_out: the advice in error messages.

        Raises:
            InputError: the directory is not a folder, for example a broken link.
        """
        if os.path.lexists(directory) and not os.path.isdir(directory):
            raise InputError(f"checkpoint={directory}: is not a folder; move it away, {way_out}")
        self._directory = Path(os.path.realpath(directory))
        self._way_out = way_out
        self._row_axis = row_axis
        self._kept: list[dict[str, Any]] = []
        self._gather: Callable[..., PyTree] | None = None

    def save(self, step: int, small: PyTree, ring: PyTree, rows_added: int, host: dict[str, Any]) -> SaveReport:
        """Saves the run's state; returns once it is on disk.

        Args:
            step: of the caller, returned by `restore`.
            small: arrays that every save writes in full.
            ring: replay; leaves have C rows along the row axis, and row n is at index n % C. Rows must not
                change once added, and rows never added must be zero.
            rows_added: rows added since the replay was last empty; may only decrease to 0, which saves no row.
            host: JSON-serializable state.
        """
        start = time.perf_counter()
        capacity = rows_of.ring_capacity(ring, self._row_axis)
        serial = self._next_serial()
        known, known_files = self._known_segments()
        written, segment_files = self._save_segments(serial, ring, rows_added)
        segments = rows_of.needed_segments(known + written, rows_added, capacity)
        manifest = {
            "step": step,
            "rows_added": rows_added,
            "host": host,
            "shapes": {"small": arrays.shapes_of(small), "ring": arrays.shapes_of(ring)},
            "segments": [dataclasses.asdict(segment) for segment in segments],
            "files": _files_in({segment.name for segment in segments}, {**known_files, **segment_files}),
        }
        small_files = self._save_checkpoint(serial, small, manifest)
        self._prune()
        wait_for_hosts("checkpoint_saved")
        longest = max((segment.rows for segment in written), default=0)
        return SaveReport(
            seconds=time.perf_counter() - start,
            bytes_written=sum(spec["size"] for spec in (*segment_files.values(), *small_files.values())),
            rows_written=sum(segment.end - segment.first for segment in written),
            # One copy on the device, one on the host.
            staging_bytes=max(2 * longest * arrays.bytes_of(ring) // max(capacity, 1), arrays.bytes_of(small)),
        )

    def exists(self) -> bool:
        """Whether there is a checkpoint, damaged or not."""
        return bool(self.names())

    def names(self) -> list[str]:
        """Returns the names of all checkpoints, damaged or not, oldest first; names are never reused."""
        return [path.name for path in self._folders("checkpoint_*")]

    def read_host(self) -> dict[str, Any] | None:
        """Returns the `host` of the newest undamaged checkpoint, or None if there is no checkpoint.

        Raises:
            DamagedCheckpointError: every checkpoint is damaged.
        """
        found, _ = self._find()
        return found["host"] if found else None

    def holds_rows(self) -> bool:
        """Whether there are saved replay rows, needed or not."""
        return bool(of_first_host(bool(self._folders("rows_*"))))

    def restore(self, small_template: PyTree, ring_template: PyTree) -> Restored | None:
        """Restores the newest undamaged checkpoint; returns None if there is no checkpoint.

        Args:
            small_template: arrays or `jax.ShapeDtypeStruct` with the shape, dtype and sharding of the result.
            ring_template: the same for the replay.

        Raises:
            DamagedCheckpointError: every checkpoint is damaged.
            InputError: a checkpoint has an unknown format, or the arrays do not match the template.
        """
        found, warnings = self._find_fitting(small_template, ring_template)
        if found is None:
            return None
        folder = self._directory / found["name"]
        try:
            small = arrays.read_arrays(folder / "small", small_template)
            ring = self._restore_ring([Segment(**segment) for segment in found["segments"]], ring_template)
        except files.DamagedError as error:
            raise self._damaged(str(error)) from None
        self._kept = [found]
        return Restored(found["step"], small, ring, found["rows_added"], found["host"], warnings)

    def check(self, small_template: PyTree, ring_template: PyTree) -> dict[str, Any] | None:
        """Returns the `host` that `restore` would return, or None; raises the same errors, but reads no arrays."""
        found, _ = self._find_fitting(small_template, ring_template)
        return found["host"] if found else None

    def _find_fitting(self, small_template: PyTree, ring_template: PyTree) -> tuple[dict[str, Any] | None, list[str]]:
        found, warnings = self._find()
        if found is not None:
            folder = self._directory / found["name"]
            arrays.check_shapes(folder, found["shapes"]["small"], small_template)
            arrays.check_shapes(folder, found["shapes"]["ring"], ring_template)
        return found, warnings

    def _next_serial(self) -> int:
        """Returns a number above all used so far; creates the directory and clears temporary folders."""
        serial = 0
        if jax.process_index() == 0:
            self._directory.mkdir(parents=True, exist_ok=True)
            files.clear_temporary(self._directory)
            serial = 1 + max(map(_serial, self._directory.iterdir()), default=0)
        return of_first_host(serial)

    def _known_segments(self) -> tuple[list[Segment], dict[str, Any]]:
        if not self._kept:
            return [], {}
        last = self._kept[-1]
        return [Segment(**segment) for segment in last["segments"]], last["files"]

    def _save_segments(self, serial: int, ring: PyTree, rows_added: int) -> tuple[list[Segment], dict[str, Any]]:
        """Writes the rows added since the last save, segment by segment to bound the memory."""
        capacity = rows_of.ring_capacity(ring, self._row_axis)
        saved = self._kept[-1]["rows_added"] if self._kept else 0
        if 0 < rows_added < saved:
            raise ValueError(f"rows_added={rows_added} is less than the {saved} of the last save")
        new_rows = min(rows_added - saved, capacity)
        if new_rows <= 0:
            return [], {}
        if self._gather is None:
            self._gather = rows_of.make_gather(jax.tree.map(lambda leaf: leaf.sharding, ring), self._row_axis)
        size = rows_of.segment_size(new_rows, capacity, arrays.bytes_of(ring))
        segments: list[Segment] = []
        described: dict[str, Any] = {}
        for first, end in rows_of.plan_segments(saved, rows_added, capacity, size):
            segment = Segment(f"rows_{serial:08d}_{len(segments):03d}", size, first, end)
            folder = self._directory / segment.name
            temporary = self._make_temporary(folder)
            arrays.write_arrays(temporary / "ring", self._gather(ring, np.int32(end), size))
            if jax.process_index() == 0:
                described |= files.describe_files(temporary, segment.name)
                files.publish(folder)
            segments.append(segment)
        return segments, described

    def _save_checkpoint(self, serial: int, small: PyTree, manifest: dict[str, Any]) -> dict[str, Any]:
        """Writes the checkpoint's own folder; returns the description of its files."""
        name = f"checkpoint_{serial:08d}"
        temporary = self._make_temporary(self._directory / name)
        arrays.write_arrays(temporary / "small", small)
        described = files.describe_files(temporary, name) if jax.process_index() == 0 else {}
        manifest = {**manifest, "name": name, "files": {**described, **manifest["files"]}}
        if jax.process_index() == 0:
            manifest = files.write_manifest(temporary, manifest)
            files.publish(self._directory / name)
        self._kept = [*self._kept[-1:], manifest]
        return described

    def _make_temporary(self, folder: Path) -> Path:
        temporary = files.temporary_folder(folder)
        if jax.process_index() == 0:
            temporary.mkdir()
        wait_for_hosts(temporary.name)
        return temporary

    def _prune(self) -> None:
        """Deletes what the kept checkpoints do not need; checkpoints go before the rows that they refer to."""
        if jax.process_index() != 0:
            return
        kept = {manifest["name"] for manifest in self._kept}
        kept |= {segment["name"] for manifest in self._kept for segment in manifest["segments"]}
        for path in [*self._folders("checkpoint_*"), *self._folders("rows_*")]:
            if path.name not in kept:
                files.discard(path)

    def _folders(self, pattern: str) -> list[Path]:
        """Returns the store's own folders that match; other files with similar names are left alone."""
        if not self._directory.is_dir():
            return []
        return sorted(path for path in self._directory.glob(pattern) if _serial(path) > 0 and path.is_dir())

    def _find(self) -> tuple[dict[str, Any] | None, list[str]]:
        """Returns the newest undamaged manifest, chosen by process 0 for all, and warnings about damaged ones."""
        found, problems = (None, []) if jax.process_index() else self._newest_whole()
        code = _NONE_WHOLE if problems else _NO_CHECKPOINT
        code = of_first_host(_serial(Path(found["name"])) if found else code)
        if code == _NO_CHECKPOINT:
            return None, []
        if code == _NONE_WHOLE:
            raise self._damaged(f"every checkpoint is damaged ({'; '.join(problems)})")
        found = found or files.read_manifest(self._directory / f"checkpoint_{code:08d}")
        return found, [f"{problem}; continuing from {found['name']}, step {found['step']}" for problem in problems]

    def _damaged(self, problem: str) -> DamagedCheckpointError:
        return DamagedCheckpointError(f"checkpoints={self._directory}: {problem}; {self._way_out}")

    def _newest_whole(self) -> tuple[dict[str, Any] | None, list[str]]:
        problems: list[str] = []
        for path in reversed(self._folders("checkpoint_*")):
            try:
                manifest = files.read_manifest(path)
                files.verify_files(self._directory, manifest["files"])
                return manifest, problems
            except files.DamagedError as error:
                problems.append(f"{path.name} is damaged: {error}")
        return None, problems

    def _restore_ring(self, segments: list[Segment], template: PyTree) -> PyTree:
        axis = self._row_axis
        shardings = jax.tree.map(arrays.sharding_of, template)

        def zeros() -> PyTree:
            return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), template)

        def part_of(leaf: Any, rows: int) -> jax.ShapeDtypeStruct:
            shape = (*leaf.shape[:axis], rows, *leaf.shape[axis + 1 :])
            return jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=arrays.sharding_of(leaf))

        ring = jax.jit(zeros, out_shardings=shardings)()
        for segment in segments:
            part_template = jax.tree.map(functools.partial(part_of, rows=segment.rows), template)
            part = arrays.read_arrays(self._directory / segment.name / "ring", part_template)
            ring = rows_of.scatter(ring, part, np.int32(segment.end), axis)
        return ring


def _files_in(folders: set[str], described: dict[str, Any]) -> dict[str, Any]:
    return {name: spec for name, spec in described.items() if name.split("/", 1)[0] in folders}


def _serial(path: Path) -> int:
    """Returns the number in a folder's name; 0 if the store never gives such a name."""
    name = re.fullmatch("checkpoint_([0-9]{8,9})|rows_([0-9]{8,9})_[0-9]{3,}", path.name)
    return int(name[1] or name[2]) if name else 0
