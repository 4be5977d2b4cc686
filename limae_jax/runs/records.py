"""Reads and checks the small JSON files of a run directory, without jax."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from limae_jax.checks import MAX_INT, check_path
from limae_jax.errors import InputError

# The seeds of each group, the runs that share a program, the groups that were ever saved.
GROUPS_FILE, SHARED_FILE, SAVED_FILE = "groups.json", "program.json", "saved.json"
VERSIONS_FILE = "versions.json"
CHECKPOINTS = "checkpoints"
# Below each group's folder: the whole state, the latest parameters, and those of the best evaluation.
STATE, LAST, BEST = "state", "last", "best"
# Former name of the state folder.
_OLD_STATE = "latest"


def is_there(path: Path) -> bool:
    """Whether anything has that name, even a broken link."""
    return os.path.lexists(path)


def read_record(path: Path, is_sound: Callable[[Any], bool]) -> Any:
    """Reads a JSON file.

    Args:
        path: of the file.
        is_sound: whether the content is valid; may raise TypeError or LookupError if not.

    Raises:
        InputError: the file cannot be read, or its content is not valid.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        problem = "" if is_sound(content) else "is damaged"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except (ValueError, TypeError, LookupError, RecursionError):  # not JSON, or not valid
        problem = "is damaged"
    if problem:
        raise InputError(f"{path}: {problem}; put the file back from a copy")
    return content


def read_versions(run_dir: Path) -> dict[str, Any]:
    """Reads versions.json; empty if there is none."""
    path = run_dir / VERSIONS_FILE
    return read_record(path, lambda content: isinstance(content, dict)) if is_there(path) else {}


def home_of(run_dir: Path) -> Path | None:
    """Returns the home, the folder that runs of one program share; None for a run with a program of its own."""
    path = run_dir / SHARED_FILE
    return run_dir / read_record(path, lambda content: _is_place(content["home"]))["home"] if is_there(path) else None


def runs_at_home(home: Path) -> list[str] | None:
    """Returns the runs that share `home`, as paths relative to it; None if it is the directory of a single run."""
    path = home / SHARED_FILE
    if not is_there(path):
        return None

    def is_sound(content: Any) -> bool:
        # The file of a run that shares its program names its home instead.
        if "runs" not in content:
            return _is_place(content["home"])
        return isinstance(content["runs"], list) and all(map(_is_place, content["runs"]))

    return read_record(path, is_sound).get("runs")


def _is_place(path: Any) -> bool:
    """Whether `path` is a valid relative path."""
    if not isinstance(path, str) or not path or "\0" in path:
        return False
    check_path("path", path)
    return not Path(path).is_absolute()


def check_alone(run_dir: Path) -> None:
    """Checks that a run can be continued by itself.

    Raises:
        InputError: it shares its program with other runs.
    """
    if home_of(run_dir):
        raise InputError(
            f"RUN_DIR={run_dir}: is trained together with other cells of a sweep; continue it with the command of the"
            " sweep"
        )


def fillers(seeds: Sequence[int], count: int) -> list[int]:
    """Returns `count` seeds to pad the last group: those after the last seed, wrapping to 0 after the largest int32."""
    return [(seeds[-1] + number) % (MAX_INT + 1) for number in range(1, count + 1)]


def read_groups(run_dir: Path, seeds: Sequence[int] | None = None) -> list[list[int]]:
    """Reads the seeds of each group of a started run or home.

    Args:
        run_dir: of the run, or the home of several.
        seeds: of the run, or of all runs in order, that the groups must have; None skips this check.

    Raises:
        InputError: the file cannot be read, or has other seeds than the settings.
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
    """Returns the names, below `checkpoints`, of groups that were ever saved; empty without such a record."""
    path = home / SAVED_FILE

    def is_sound(names: Any) -> bool:
        return isinstance(names, list) and all(isinstance(name, str) and Path(name).name == name for name in names)

    return read_record(path, is_sound) if is_there(path) else []


def group_names(home: Path, groups: Sequence[Sequence[int]]) -> list[str]:
    """Returns the name of each group's folder below `checkpoints`."""
    if runs_at_home(home) is not None:
        return [f"group_{number}" for number in range(len(groups))]
    return [f"seeds_{group[0]}_to_{group[-1]}" for group in groups]


def check_saved(home: Path, seeds: Sequence[int]) -> None:
    """Checks that all checkpoints of a saved run are still there; before the first save none is required.

    Args:
        home: the run's directory, or the home of several that share a program.
        seeds: of the run, or of all runs in order.

    Raises:
        InputError: a checkpoint is missing, or groups.json does not match the checkpoints.
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
    """Whether a group has a checkpoint, damaged or not."""
    return any(state_folder(group_directory).glob("checkpoint_*"))


def state_folder(group_directory: Path) -> Path:
    """Returns the folder of a group's state; older runs keep its former name."""
    old = group_directory / _OLD_STATE
    return old if is_there(old) else group_directory / STATE


def checkpoint_is_gone(home: Path, name: str) -> InputError:
    """Returns the error for a saved group whose checkpoint is missing."""
    return InputError(
        f"RUN_DIR={home}: {CHECKPOINTS}/{name}/{STATE} is missing, though the run was saved there; put it back from a"
        " copy, or choose another run.dir for a new run"
    )
