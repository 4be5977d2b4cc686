"""The folder of a run: config.yaml, versions.json, groups.json, metrics.jsonl, checkpoints/."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from limae_jax.backend import changed_settings
from limae_jax.checks import one_line
from limae_jax.config import TrainConfig
from limae_jax.config_file import CONFIG_FILE, check_run_dir, to_yaml
from limae_jax.errors import InputError

# The seeds of each group, and the other runs that a run shares its program with.
GROUPS_FILE, SHARED_FILE = "groups.json", "program.json"

PACKAGES = ("limae-jax", "jax", "jaxlib", "flax", "optax", "chex", "jaxmarl", "flashbax", "orbax-checkpoint", "numpy")


def open_run(config: TrainConfig) -> TrainConfig:
    """Settles on the settings of a run, before anything is compiled.

    Args:
        config: as asked for. If its directory holds a run, that run is continued.

    Returns:
        The settings with `run.dir` set to where the run is.

    Raises:
        InputError: the directory holds a run with other settings, or something else.
    """
    if home_of(Path(config.run_dir)):
        raise InputError(
            f"RUN_DIR={config.run_dir}: is trained together with other cells of a sweep; continue it with the sweep's"
            " own command"
        )
    # With several hosts the first one may be writing the directory while another looks.
    if not jax.distributed.is_initialized() or jax.process_index() == 0:
        check_run_dir(config)
    return replace(config, run=replace(config.run, dir=config.run_dir))


def write_run_files(config: TrainConfig) -> list[str]:
    """Writes config.yaml and versions.json (process 0 only); returns warnings about versions that changed."""
    run_dir = Path(config.run_dir)
    if jax.process_index() != 0:
        return []
    run_dir.mkdir(parents=True, exist_ok=True)
    write_atomically(run_dir / CONFIG_FILE, to_yaml(config))
    path, now = run_dir / "versions.json", versions()
    before = _read_record(path, lambda content: isinstance(content, dict)) if path.exists() else now
    write_atomically(path, json.dumps(now, indent=1) + "\n")
    watched = (*PACKAGES, "python", "machine", "device", "device_count", "cpu_count")
    changed = [f"{name} {before.get(name)} -> {now[name]}" for name in watched if before.get(name) != now[name]]
    usual = [f"jax has {_settings(now)}: results are not those of runs without"] if now["jax_settings"] else []
    if before.get("jax_settings", {}) != now["jax_settings"]:
        changed.append(f"jax settings {_settings(before)} -> {_settings(now)}")
    if not changed:
        return usual
    return [*usual, f"continued under other versions ({', '.join(changed)}): the result may differ in the last digits"]


def versions() -> dict[str, Any]:
    """What a result depends on beside the settings."""
    installed: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = None
    return {
        **installed,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "device_count": jax.device_count(),
        "process_count": jax.process_count(),
        "jax_settings": changed_settings(),
        "git_commit": _git_commit(),
    }


def _settings(versions: dict[str, Any]) -> str:
    return (
        ", ".join(f"{name}={one_line(value)}" for name, value in versions.get("jax_settings", {}).items()) or "as usual"
    )


def _git_commit() -> str | None:
    folder = Path(__file__).resolve().parent
    if not any((parent / ".git").exists() for parent in (folder.parent, folder.parent.parent)):
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Holds a run directory, so that two processes never train the same run.

    Raises:
        InputError: another process holds it, or it cannot be made.
    """
    if jax.process_index() != 0:
        yield
        return
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"run.dir={run_dir}: cannot be made ({error.strerror}); choose another") from None
    descriptor = os.open(run_dir, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"RUN_DIR={run_dir}: another process is training it; wait for it or stop it") from None
        yield
    finally:
        os.close(descriptor)


def home_of(run_dir: Path) -> Path | None:
    """Where a run that shares its program with others keeps what they have in common; None if it is by itself."""
    path = run_dir / SHARED_FILE
    if not path.is_file():
        return None
    return run_dir / _read_record(path, lambda content: isinstance(content["home"], str))["home"]


def runs_at_home(home: Path) -> list[str] | None:
    """The runs that have in common what is in `home`, as paths from there; None if it is the place of a single run."""
    path = home / SHARED_FILE
    if not path.is_file():
        return None

    def is_sound(content: Any) -> bool:
        # A run that shares its program has its home in such a file.
        if "runs" not in content:
            return isinstance(content["home"], str)
        return all(isinstance(name, str) for name in content["runs"])

    return _read_record(path, is_sound).get("runs")


def read_groups(run_dir: Path) -> list[list[int]]:
    """The seeds of each group of a run, or of a home, that was begun.

    Raises:
        InputError: they cannot be read.
    """

    def is_sound(groups: Any) -> bool:
        return all(groups) and all(isinstance(seed, int) for group in groups for seed in group) and bool(groups)

    return _read_record(run_dir / GROUPS_FILE, is_sound)


def _read_record(path: Path, is_sound: Callable[[Any], bool]) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        problem = "" if is_sound(content) else "is damaged"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except (ValueError, TypeError, LookupError):  # no JSON, or not what was written there
        problem = "is damaged"
    if problem:
        raise InputError(f"{path}: {problem}; put the file back from a copy")
    return content


def settle_groups(run_dir: Path, groups: Sequence[np.ndarray], devices: int | None = None) -> list[np.ndarray]:
    """The seeds of each group, as this run first split them: a checkpoint belongs to its group.

    Args:
        run_dir: of the run, or the home of several that share a program.
        groups: as they would be split now.
        devices: to train on; None is all.

    Raises:
        InputError: the run was begun on a number of devices that this machine cannot serve.
    """
    path = run_dir / GROUPS_FILE
    if not path.exists():
        if jax.process_index() == 0:
            write_atomically(path, json.dumps([group.tolist() for group in groups]) + "\n")
        return list(groups)
    stored = [np.asarray(group, np.int32) for group in read_groups(run_dir)]
    size, devices = len(stored[0]), devices or jax.device_count()
    if size % devices:
        raise InputError(
            f"RUN_DIR={run_dir}: was begun with groups of {size} seed(s), which {devices} devices cannot share evenly;"
            " continue it on as many devices as it was begun on"
        )
    return stored


def group_directory(run_dir: Path, group: np.ndarray) -> Path:
    """Where a group keeps its checkpoints."""
    return run_dir / "checkpoints" / f"seeds_{group[0]}_to_{group[-1]}"


def write_atomically(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
