"""Atomic writes of folders, and manifests that detect damage."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from limae_jax.checks import show
from limae_jax.errors import InputError

# Since version 2 a run may empty its replay during training; older code would count rows from the run's start.
FORMAT_VERSION = 2
MANIFEST_NAME = "manifest.json"
TEMPORARY_PREFIX = "tmp_"


class DamagedError(Exception):
    """A file of a checkpoint is missing or altered; the message names it."""


def temporary_folder(final: Path) -> Path:
    """Returns where to build a folder before `publish` renames it to `final`, atomically on the same file system."""
    return final.parent / f"{TEMPORARY_PREFIX}{final.name}"


def publish(final: Path) -> None:
    """Flushes the temporary folder of `final` to disk, then renames it to `final`."""
    temporary = temporary_folder(final)
    for folder, _, names in os.walk(temporary):
        for name in names:
            _fsync(Path(folder, name))
        _fsync(Path(folder))
    os.rename(temporary, final)
    _fsync(final.parent)


def discard(folder: Path) -> None:
    """Deletes a published or temporary folder.

    If killed half-way, a temporary folder is left, never a damaged published one.
    """
    temporary = folder
    if not folder.name.startswith(TEMPORARY_PREFIX):
        temporary = temporary_folder(folder)
        shutil.rmtree(temporary, ignore_errors=True)
        os.rename(folder, temporary)
    shutil.rmtree(temporary)


def clear_temporary(folder: Path) -> None:
    """Deletes temporary files and folders that a killed process left in `folder`."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def describe_files(folder: Path, prefix: str) -> dict[str, dict[str, Any]]:
    """Returns `prefix`/path -> size in bytes and sha256, for every file below `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}": {"size": path.stat().st_size, "sha256": _file_sha256(path)}
        for path in paths
    }


def bytes_below(folder: Path) -> int:
    """Total bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def verify_files(root: Path, files: dict[str, dict[str, Any]]) -> None:
    """Checks that `files` (see `describe_files`) are unchanged below `root`.

    Raises:
        DamagedError: a file is missing or altered.
    """
    for name, expected in files.items():
        path = root / name
        if not path.is_file():
            raise DamagedError(f"{name} is missing")
        size = path.stat().st_size
        if size != expected["size"]:
            raise DamagedError(f"{name} has {size} bytes instead of {expected['size']}")
        if _file_sha256(path) != expected["sha256"]:
            raise DamagedError(f"{name} was altered (its sha256 differs)")


def write_manifest(folder: Path, body: dict[str, Any], name: str = MANIFEST_NAME) -> dict[str, Any]:
    """Writes `body` with the format version and its checksum; returns the body that `read_manifest` will return."""
    body = json.loads(json.dumps({**body, "format_version": FORMAT_VERSION}))
    text = json.dumps({**body, "sha256": _body_sha256(body)}, indent=1)
    (folder / name).write_text(text + "\n", encoding="utf-8")
    return body


def replace_manifest(folder: Path, body: dict[str, Any]) -> None:
    """Replaces the manifest of a published folder atomically: a kill leaves the old or the new one."""
    temporary = f"{TEMPORARY_PREFIX}{MANIFEST_NAME}"
    write_manifest(folder, body, temporary)
    _fsync(folder / temporary)
    os.replace(folder / temporary, folder / MANIFEST_NAME)
    _fsync(folder)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads the manifest that `write_manifest` wrote.

    Raises:
        DamagedError: the file is missing or altered.
        InputError: the format version is not supported.
    """
    path = folder / MANIFEST_NAME
    label = f"{folder.name}/{MANIFEST_NAME}"
    try:
        body = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DamagedError(f"{label} is missing") from None
    except OSError as error:
        raise DamagedError(f"{label} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise DamagedError(f"{label} is not valid JSON") from None
    version = body.get("format_version") if isinstance(body, dict) else None
    # Before the checksum, which another version may compute differently.
    if isinstance(version, int) and not 1 <= version <= FORMAT_VERSION:
        raise InputError(
            f"checkpoint={folder}: has format version {version}, this limae_jax reads 1 to {FORMAT_VERSION}; use "
            "the limae_jax that wrote it (see versions.json), or delete this folder to use the previous checkpoint"
        )
    if version is None or body.pop("sha256", None) != _body_sha256(body):
        raise DamagedError(f"{label} was altered (its sha256 differs)")
    unsound = next((name for name, is_sound in _FIELDS.items() if not _holds(is_sound, body, name)), None)
    if unsound:
        raise DamagedError(f"{label} has no valid {unsound}")
    if body["name"] != folder.name:
        raise DamagedError(f"{label} belongs to {show(body['name'])}")
    return body


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_segment(segment: dict[str, Any]) -> bool:
    counts = [segment[name] for name in ("rows", "first", "end")]
    return len(segment) == 4 and _is_plain_name(segment["name"]) and all(map(_is_count, counts))


def _is_plain_name(name: str) -> bool:
    return Path(name).name == name


def _is_described(name: str, spec: dict[str, Any]) -> bool:
    is_below = not Path(name).is_absolute() and ".." not in Path(name).parts and "\0" not in name
    return is_below and _is_count(spec["size"]) and isinstance(spec["sha256"], str)


# Field of a manifest -> whether its value is valid.
_FIELDS: dict[str, Callable[[Any], bool]] = {
    "name": _is_plain_name,
    "step": _is_count,
    "rows_added": _is_count,
    "host": lambda host: isinstance(host, dict),
    "shapes": lambda shapes: isinstance(shapes["small"], list) and isinstance(shapes["ring"], list),
    "segments": lambda segments: all(map(_is_segment, segments)),
    "files": lambda files: all(_is_described(*item) for item in files.items()),
}


def _holds(is_sound: Callable[[Any], bool], body: dict[str, Any], name: str) -> bool:
    try:
        return is_sound(body[name])
    except (TypeError, LookupError, AttributeError):
        return False


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _body_sha256(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
