"""Memory that this process can still have: what the machine has free, and what its control groups leave of it.

Containers and schedulers such as SLURM limit memory by control groups of Linux, of version 1 or 2. A process is in one
group of each hierarchy, and the limits of all groups above that one hold too.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class _Files(NamedTuple):
    """What a group's files of a version are called; `cache` is a line of memory.stat."""

    limits: tuple[str, ...]
    used: str
    cache: str


# By the type of the file system. Above memory.high a group is slowed down so much that it is as good as a limit.
_FILES = {
    "cgroup2": _Files(("memory.max", "memory.high"), "memory.current", "inactive_file"),
    "cgroup": _Files(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
}


class _Mount(NamedTuple):
    """Where groups are to be seen: `root` is the topmost one."""

    kind: str
    root: PurePosixPath
    point: Path


def free_memory() -> int:
    """Bytes that the machine has free, or that a control group leaves this process, whichever is less."""
    import psutil

    free, left = int(psutil.virtual_memory().available), left_by_groups()
    return free if left is None else min(free, left)


def left_by_groups(root: Path = Path("/")) -> int | None:
    """Bytes that the memory limits of this process's control groups leave it; None if there are none.

    A group's file cache that the kernel can drop counts as left.

    Args:
        root: where proc and the mounted groups are.
    """
    left: list[int] = []
    groups = _own_groups(root)
    for mount in _mounts(root):
        for folder in _folders(mount, groups.get(mount.kind)):
            left += _left(folder, _FILES[mount.kind])
    return min(left, default=None)


def _own_groups(root: Path) -> dict[str, PurePosixPath]:
    """The group of this process that may limit memory, by version: lines `number:controllers:path`."""
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
    r"""As mountinfo has it, a space is \040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _folders(mount: _Mount, group: PurePosixPath | None) -> list[Path]:
    """Of the group and all those above it, as far as they are mounted."""
    if group is None:
        return []
    # Seen from inside a container the group may have a name that is not mounted; its own is the topmost one then.
    is_below = group.is_relative_to(mount.root) and ".." not in group.parts
    folder = mount.point / group.relative_to(mount.root) if is_below else mount.point
    return [folder, *(above for above in folder.parents if above.is_relative_to(mount.point))]


def _left(folder: Path, files: _Files) -> Iterator[int]:
    """What each limit of a group leaves; nothing of one that is not set, "max" or a number beyond all memory."""
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
    """A file's text; nothing if it cannot be read."""
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
