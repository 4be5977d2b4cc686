"""Writes a run directory: config.yaml, versions.json, groups.json, saved.json, metrics.jsonl, checkpoints/."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from limae_jax.checks import one_line, show
from limae_jax.config import TrainConfig
from limae_jax.config.text import to_file
from limae_jax.devices.backend import changed_settings
from limae_jax.errors import InputError
from limae_jax.runs.records import (
    CHECKPOINTS,
    GROUPS_FILE,
    SAVED_FILE,
    SHARED_FILE,
    VERSIONS_FILE,
    check_alone,
    is_there,
    read_groups,
    read_saved,
    read_versions,
)
from limae_jax.runs.stored import CONFIG_FILE, check_run_dir

PACKAGES = ("limae-jax", "jax", "jaxlib", "flax", "optax", "chex", "jaxmarl", "flashbax", "orbax-checkpoint", "numpy")


def open_run(config: TrainConfig) -> TrainConfig:
    """Checks a run's directory before anything is compiled, and returns the run's settings.

    Args:
        config: as requested. If its directory holds a run, that run is continued.

    Returns:
        The settings with `run.dir` set to the run's directory.

    Raises:
        InputError: the directory holds a run with other settings, or something else.
    """
    check_alone(Path(config.run_dir))
    # With several hosts the first one may already be writing the directory while another checks it.
    if not jax.distributed.is_initialized() or jax.process_index() == 0:
        check_run_dir(config)
    return replace(config, run=replace(config.run, dir=config.run_dir))


def write_run_files(config: TrainConfig) -> None:
    """Writes config.yaml and versions.json (process 0 only)."""
    run_dir = Path(config.run_dir)
    if jax.process_index() != 0:
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    write_atomically(run_dir / CONFIG_FILE, to_file(config))
    write_atomically(run_dir / VERSIONS_FILE, json.dumps(versions(), indent=1) + "\n")


def check_in_the_way(directory: Path) -> None:
    """Checks that no folder has the name of a file that a run writes to its directory or home.

    Raises:
        InputError: a folder has.
    """
    for name in (CONFIG_FILE, VERSIONS_FILE, GROUPS_FILE, SAVED_FILE, SHARED_FILE):
        for path in (directory / name, directory / f"{name}.tmp"):
            if path.is_dir():
                raise InputError(f"{path}: is a folder, but a file must be written there; remove it")


def changed_versions(run_dir: Path) -> list[str]:
    """Returns warnings if a run continues with other versions or jax settings than those in its versions.json.

    Raises:
        InputError: versions.json is damaged.
    """
    now = versions()
    before = read_versions(run_dir) or now
    watched = (*PACKAGES, "python", "machine", "device", "device_count", "cpu_count")
    changed = [f"{name} {show(before.get(name))} -> {now[name]}" for name in watched if before.get(name) != now[name]]
    usual = [f"jax has {_settings(now)}: results differ from runs without"] if now["jax_settings"] else []
    if before.get("jax_settings", {}) != now["jax_settings"]:
        changed.append(f"jax settings {_settings(before)} -> {_settings(now)}")
    if not changed:
        return usual
    return [*usual, f"continued with other versions ({', '.join(changed)}): the result may differ in the last digits"]


def versions() -> dict[str, Any]:
    """Returns the versions, hardware and jax settings that results depend on."""
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
    settings = versions.get("jax_settings")
    if not isinstance(settings, dict) or not settings:
        return "default"
    return ", ".join(f"{name}={one_line(value)}" for name, value in settings.items())


def _git_commit() -> str | None:
    folder = Path(__file__).resolve().parents[1]
    if not any((parent / ".git").exists() for parent in (folder.parent, folder.parent.parent)):
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def groups_as_begun(
    run_dir: Path, groups: Sequence[np.ndarray], devices: int | None = None, seeds: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Returns the seeds of each group as the run first split them, since checkpoints belong to groups. Writes nothing.

    Args:
        run_dir: of the run, or the home of several that share a program.
        groups: as the seeds would be split now.
        devices: number of devices to train on; None for all.
        seeds: of the run, or of all runs in order, that the groups must have; None skips this check.

    Raises:
        InputError: the groups are damaged or have other seeds, or their size does not divide by the number of devices.
    """
    if not is_there(run_dir / GROUPS_FILE):
        return list(groups)
    stored = [np.asarray(group, np.int32) for group in read_groups(run_dir, seeds)]
    size, devices = len(stored[0]), devices or jax.device_count()
    if size % devices:
        raise InputError(
            f"RUN_DIR={run_dir}: was started with groups of {size} seed(s), which {devices} devices cannot share evenly"
            "; continue it on as many devices as it was started on"
        )
    return stored


def write_groups(run_dir: Path, groups: Sequence[np.ndarray]) -> None:
    """Writes groups.json, the seeds of each group (process 0 only)."""
    if jax.process_index() == 0:
        write_atomically(run_dir / GROUPS_FILE, json.dumps([group.tolist() for group in groups]) + "\n")


def note_saved(group_directories: Sequence[Path]) -> None:
    """Records in saved.json that groups were saved, so that a missing checkpoint is detected (process 0 only)."""
    for directory in group_directories if jax.process_index() == 0 else ():
        home = directory.parent.parent
        saved = read_saved(home)
        if directory.name not in saved:
            write_atomically(home / SAVED_FILE, json.dumps([*saved, directory.name]) + "\n")


def group_directory(run_dir: Path, group: np.ndarray) -> Path:
    """Returns the folder of a group's checkpoints."""
    return run_dir / CHECKPOINTS / f"seeds_{group[0]}_to_{group[-1]}"


def write_atomically(path: Path, text: str) -> None:
    """Writes a file completely or not at all."""
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
