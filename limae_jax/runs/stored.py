"""Reads stored runs, and checks whether a new run may use a directory."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from limae_jax.checks import one_line, user_path
from limae_jax.config import TrainConfig
from limae_jax.config.changes import ELSEWHERE, check_continuation
from limae_jax.config.stored_yaml import unseal
from limae_jax.config.text import check_is_data, from_file
from limae_jax.errors import InputError
from limae_jax.runs.records import VERSIONS_FILE

CONFIG_FILE = "config.yaml"


ERROR_FILE = "error.txt"


# Lock files of a run directory; the second one is for file systems without locks.
LOCK_FILE, SOFT_LOCK_FILE = "run.lock", "run.softlock"


# Files of a run that failed, or was killed, before it wrote its settings.
_OF_A_FAILED_START = (ERROR_FILE, f"{CONFIG_FILE}.tmp", LOCK_FILE, SOFT_LOCK_FILE)


# Bytes; far more than all settings take.
_LARGEST_FILE = 2**20


def read_run(run_dir: Path) -> TrainConfig:
    """Reads the settings of a run directory.

    Raises:
        InputError: there is no such directory, it holds no run, or its config.yaml is damaged.
    """
    run_dir = Path(user_path("RUN_DIR", run_dir))
    if not run_dir.is_dir():
        raise InputError(f"RUN_DIR={run_dir}: no such directory{_nearby_runs(run_dir)}")
    path = run_dir / CONFIG_FILE
    if not path.is_file():
        nearby = _nearby_runs(run_dir)
        raise InputError(f"RUN_DIR={run_dir}: holds no {CONFIG_FILE}, so it is not a run directory{nearby}")
    try:
        return from_file(_read_text(path))
    except (InputError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {one_line(error)}") from None


def format_of(run_dir: Path) -> int | None:
    """Returns the format version of config.yaml, which `read_run` has checked; None if there is no such file."""
    path = run_dir / CONFIG_FILE
    return unseal(_read_text(path))[0] if path.is_file() else None


def _read_text(path: Path) -> str:
    if path.stat().st_size > _LARGEST_FILE:
        raise InputError("is too large for a settings file; put the file back from a copy")
    return path.read_text(encoding="utf-8")


def sweep_runs(directory: Path) -> list[Path]:
    """Returns a sweep's run directories, `directory`/<cell>/seeds_<first>_to_<last>, in order; empty if not a sweep."""
    return [path.parent for path in sorted(directory.glob(f"*/seeds_*/{CONFIG_FILE}"))]


def expand_sweeps(directories: Iterable[Path]) -> list[Path]:
    """Replaces each sweep, or cell of a sweep, by its run directories; other directories stay as they are."""
    expanded: list[Path] = []
    for directory in directories:
        directory = Path(user_path("RUN_DIR", directory))
        is_run = (directory / CONFIG_FILE).is_file()
        of_cell = [path.parent for path in sorted(directory.glob(f"seeds_*/{CONFIG_FILE}"))]
        expanded += [directory] if is_run else of_cell or sweep_runs(directory) or [directory]
    return expanded


def _nearby_runs(run_dir: Path) -> str:
    if of_sweep := sweep_runs(run_dir):
        return f"; it is a sweep; choose one of its {len(of_sweep)} runs, such as {of_sweep[0]}"
    folders = (run_dir, run_dir.parent, Path("runs"))
    runs = sorted({str(path.parent) for folder in folders for path in folder.glob(f"*/{CONFIG_FILE}")})
    close = difflib.get_close_matches(str(run_dir), runs, n=3, cutoff=0.3)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def check_run_dir(config: TrainConfig, elsewhere: str = ELSEWHERE) -> None:
    """Checks that a run may use its directory: it is unused, or holds the same run to continue.

    Args:
        config: of the run.
        elsewhere: the setting that chooses another directory; with a sweep's, the place was checked before.

    Raises:
        InputError: the directory holds another run or something else, or is not writable.
    """
    check_is_data(config)
    run_dir = Path(config.run_dir)
    if (run_dir / CONFIG_FILE).is_file():
        check_continuation(read_run(run_dir), config, run_dir, elsewhere)
    elif run_dir.exists() and not (run_dir.is_dir() and is_unused(run_dir)):
        raise InputError(f"run.dir={run_dir}: holds something other than a run; choose another {elsewhere}")
    elif elsewhere == ELSEWHERE:
        check_not_inside("run.dir", run_dir, elsewhere)
    # Checked without creating it: nothing is written before all checks pass.
    place = next(path for path in (run_dir.absolute(), *run_dir.absolute().parents) if path.exists())
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        raise InputError(f"run.dir={run_dir}: cannot be made, {place} is not a writable folder; choose another")


def check_not_inside(name: str, place: Path, elsewhere: str) -> None:
    """Checks that a new run or sweep does not lie inside another run or sweep.

    Args:
        name: the setting of `place`.
        place: directory of the new run or sweep.
        elsewhere: the setting that chooses another place.

    Raises:
        InputError: it lies inside one.
    """
    around = Path(os.path.realpath(place)).parents
    # A config.yaml alone is no sign of a run: other programs write one too.
    runs = [folder for folder in around if (folder / CONFIG_FILE).is_file() and (folder / VERSIONS_FILE).is_file()]
    sweeps = [folder for folder in around[:2] if sweep_runs(folder)]
    for what, folder in [*(("run", run) for run in runs), *(("sweep", sweep) for sweep in sweeps)]:
        raise InputError(f"{name}={place}: is inside {folder}, which holds a {what}; choose another {elsewhere}")


def is_unused(folder: Path) -> bool:
    """Whether a folder is empty, or has only files of a run that failed to start."""
    # filelock renames a stale lock to a longer name.
    return all(
        path.name in _OF_A_FAILED_START or path.name.startswith(f"{SOFT_LOCK_FILE}.") for path in folder.iterdir()
    )
