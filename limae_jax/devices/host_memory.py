"""Memory that this process can still allocate, by the machine's free memory and Linux control groups.

Containers and schedulers such as SLURM limit memory with control groups, of version 1 or 2. A process is in one group
of each hierarchy, and the limits of all ancestors of that group apply too.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class _Files(NamedTuple):
    """Names of a group's files, by version; `cache` is a line of memory.stat."""

    limits: tuple[str, ...]
    used: str
    cache: str


# By file system type. Above memory.high a group is throttled so much that it acts as a limit.
_FILES = {
    "cgroup2": _Files(("memory.max", "memory.high"), "memory.current", "inactive_file"),
    "cgroup": _Files(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
}


class _Mount(NamedTuple):
    """A mounted hierarchy of groups; `root` is its topmost group."""

    kind: str
    root: PurePosixPath
    point: Path


def free_memory() -> int:
    """Returns the bytes that are free on the machine or left by control groups, whichever is less."""
    import psutil

    free, left = int(psutil.virtual_memory().available), left_by_groups()
    return free if left is None else min(free, left)


def left_by_groups(root: Path = Path("/")) -> int | None:
    """Returns the bytes left by the memory limits of this process's control groups; None without limits.

    File cache that the kernel can drop counts as left.

    Args:
        root: folder with proc and the mounted groups.
    """
    left: list[int] = []
    groups = _own_groups(root)
    for mount in _mounts(root):
        for folder in _folders(mount, groups.get(mount.kind)):
            left += _left(folder, _FILES[mount.kind])
    return min(left, default=None)


def _own_groups(root: Path) -> dict[str, PurePosixPath]:
    """Returns this process's memory-limiting group by version, from lines `number:controllers:path`."""
    groups = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            groups["cgroup2"] = PurePosixPath(path)
        elif "memory" in controllers.split(","):
            groups["cgroup"] = PurePosixPath(path)
    return groups


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        own, (kind, *options) = before.split(" "), after.split(" ")
        is_memory = kind == "cgroup2" or (kind == "cgroup" and "memory" in ",".join(options).split(","))
        if is_memory and len(own) > 4:
            top, point = map(_unescaped, own[3:5])
            yield _Mount(kind, PurePosixPath(top), root / point.lstrip("/"))


def _unescaped(text: str) -> str:
    r"""Decodes the octal escapes of mountinfo; a space is \040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _folders(mount: _Mount, group: PurePosixPath | None) -> list[Path]:
    """Returns the folders of the group and its ancestors, as far as they are mounted."""
    if group is None:
        return []
    # Inside a container the group's name may not be mounted; then its own group is the topmost one.
    is_below = group.is_relative_to(mount.root) and ".." not in group.parts
    folder = mount.point / group.relative_to(mount.root) if is_below else mount.point
    return [folder, *(above for above in folder.parents if above.is_relative_to(mount.point))]


def _left(folder: Path, files: _Files) -> Iterator[int]:
    """Yields the bytes that each limit of a group leaves; skips unset limits ("max" or 2^60 and more)."""
    used = _number(_read(folder / files.used))
    if used is None:
        return
    statistics = dict(line.split(" ", 1) for line in _read(folder / "memory.stat").splitlines() if " " in line)
    used -= _number(statistics.get(files.cache, "")) or 0
    for name in files.limits:
        limit = _number(_read(folder / name))
        if limit is not None and limit < 2**60:
            yield max(0, limit - used)


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,20}", text.strip()) else None


def _read(path: Path) -> str:
    """Returns a file's text; empty if it cannot be read."""
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
