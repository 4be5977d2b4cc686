"""What a run directory keeps beside its settings and its arrays: small JSON files, checked without jax."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from limae_jax.checks import MAX_INT, check_path
from limae_jax.errors import InputError

# The seeds of each group, the other runs that a run shares its program with, the groups that were ever saved.
GROUPS_FILE, SHARED_FILE, SAVED_FILE = "groups.json", "program.json", "saved.json"
VERSIONS_FILE = "versions.json"
CHECKPOINTS = "checkpoints"
# Below each group's folder: the whole state, and the parameters of now and of the best evaluation.
STATE, LAST, BEST = "state", "last", "best"
# What the folder of the state was called before.
_OLD_STATE = "latest"


def is_there(path: Path) -> bool:
    """Whether there is anything of that name, a link that leads nowhere included."""
    return os.path.lexists(path)


def read_record(path: Path, is_sound: Callable[[Any], bool]) -> Any:
    """The content of a JSON file.

    Args:
        path: of the file.
        is_sound: whether the content is what is written there; may raise TypeError or LookupError if not.

    Raises:
        InputError: it cannot be read, or is not sound.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        problem = "" if is_sound(content) else "is damaged"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except (ValueError, TypeError, LookupError, RecursionError):  # no JSON, or not what was written there
        problem = "is damaged"
    if problem:
        raise InputError(f"{path}: {problem}; put the file back from a copy")
    return content


def read_versions(run_dir: Path) -> dict[str, Any]:
    """What versions.json says; empty if there is none."""
    path = run_dir / VERSIONS_FILE
    return read_record(path, lambda content: isinstance(content, dict)) if is_there(path) else {}


def home_of(run_dir: Path) -> Path | None:
    """Where a run that shares its program with others keeps what they have in common; None if it is by itself."""
    path = run_dir / SHARED_FILE
    return run_dir / read_record(path, lambda content: _is_place(content["home"]))["home"] if is_there(path) else None


def runs_at_home(home: Path) -> list[str] | None:
    """The runs that have in common what is in `home`, as paths from there; None if it is the place of a single run."""
    path = home / SHARED_FILE
    if not is_there(path):
        return None

    def is_sound(content: Any) -> bool:
        # A run that shares its program has its home in such a file.
        if "runs" not in content:
            return _is_place(content["home"])
        return isinstance(content["runs"], list) and all(map(_is_place, content["runs"]))

    return read_record(path, is_sound).get("runs")


def _is_place(path: Any) -> bool:
    """Whether it is a path from one folder to another, as these files have it."""
    if not isinstance(path, str) or not path or "\0" in path:
        return False
    check_path("path", path)
    return not Path(path).is_absolute()


def check_alone(run_dir: Path) -> None:
    """Checks that a run can go on by itself.

    Raises:
        InputError: it is trained together with others.
    """
    if home_of(run_dir):
        raise InputError(
            f"RUN_DIR={run_dir}: is trained together with other cells of a sweep; continue it with the sweep's own"
            " command"
        )


def fillers(seeds: Sequence[int], count: int) -> list[int]:
    """Seeds that only fill up the last group: those beyond the last one, from 0 again after the largest int32."""
    return [(seeds[-1] + number) % (MAX_INT + 1) for number in range(1, count + 1)]


def read_groups(run_dir: Path, seeds: Sequence[int] | None = None) -> list[list[int]]:
    """The seeds of each group of a run, or of a home, that was begun.

    Args:
        run_dir: of the run, or the home of several.
        seeds: of the run, or of all of them in order; None takes them as they are.

    Raises:
        InputError: they cannot be read, or are not those of the settings.
    """

    def is_sound(groups: Any) -> bool:
        flat = [seed for group in groups for seed in group]
        is_filled = isinstance(groups, list) and bool(groups) and all(groups)
        return is_filled and all(isinstance(seed, int) and not isinstance(seed, bool) for seed in flat)

    groups = read_record(run_dir / GROUPS_FILE, is_sound)
    flat = [seed for group in groups for seed in group]
    if seeds is not None and flat != [*seeds, *fillers(seeds, len(flat) - len(seeds))]:
        raise InputError(
            f"{run_dir / GROUPS_FILE}: has other seeds than the settings, {seeds[0]} to {seeds[-1]}; put the file back"
            " from a copy"
        )
    return groups


def read_saved(home: Path) -> list[str]:
    """Names of the groups, below `checkpoints`, that were ever saved here; empty if none was, or nobody took note."""
    path = home / SAVED_FILE

    def is_sound(names: Any) -> bool:
        return isinstance(names, list) and all(isinstance(name, str) and Path(name).name == name for name in names)

    return read_record(path, is_sound) if is_there(path) else []


def group_names(home: Path, groups: Sequence[Sequence[int]]) -> list[str]:
    """Where below `checkpoints` each group is saved."""
    if runs_at_home(home) is not None:
        return [f"group_{number}" for number in range(len(groups))]
    return [f"seeds_{group[0]}_to_{group[-1]}" for group in groups]


def check_saved(home: Path, seeds: Sequence[int]) -> None:
    """Checks that a run which was saved is still there to go on; before its first save there need be nothing.

    Args:
        home: the run's directory, or the home of several that share a program.
        seeds: of the run, or of all of them in order.

    Raises:
        InputError: a checkpoint is gone, or groups.json is not that of the checkpoints.
    """
    saved = read_saved(home)
    has_groups = is_there(home / GROUPS_FILE)
    if not (saved or has_groups or any(map(has_checkpoint, home.glob(f"{CHECKPOINTS}/*")))):
        return
    groups = read_groups(home, seeds)
    if any(len(group) != len(groups[0]) for group in groups) or set(saved) - set(group_names(home, groups)):
        raise InputError(f"{home / GROUPS_FILE}: has other groups than were saved; put the file back from a copy")
    for name in saved:
        if not has_checkpoint(home / CHECKPOINTS / name):
            raise checkpoint_is_gone(home, name)


def has_checkpoint(group_directory: Path) -> bool:
    """Whether a group has something to go on from, whole or not."""
    return any(state_folder(group_directory).glob("checkpoint_*"))


def state_folder(group_directory: Path) -> Path:
    """Where a group's state is saved; a run keeps the folder that it began with."""
    old = group_directory / _OLD_STATE
    return old if is_there(old) else group_directory / STATE


def checkpoint_is_gone(home: Path, name: str) -> InputError:
    """The error for a group that was saved and is no longer there."""
    return InputError(
        f"RUN_DIR={home}: {CHECKPOINTS}/{name}/{STATE} is missing, though the run was saved there; put it back from a"
        " copy, or choose another run.dir for a new run"
    )
