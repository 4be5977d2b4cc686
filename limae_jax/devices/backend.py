"""Starts jax with the settings of its environment variables; errors say in one line what to set."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from limae_jax.checks import check, one_line, show
from limae_jax.errors import InputError

# Setting of jax -> values that training supports.
_NEEDED: dict[str, tuple[Any, ...]] = {
    "jax_enable_x64": (False,),
    "jax_disable_jit": (False,),
    "jax_numpy_dtype_promotion": ("standard",),
    "jax_numpy_rank_promotion": ("allow", "warn"),
    "jax_transfer_guard": (None, "allow", "log"),
}
# Setting of jax that results depend on -> its default. The PRNG implementation is fixed in `keys`.
_DEFAULTS: dict[str, Any] = {
    "jax_debug_nans": False,
    "jax_default_matmul_precision": None,
    "jax_random_seed_offset": 0,
    "jax_threefry_partitionable": True,
}


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def import_jax() -> ModuleType:
    """Imports jax, which then reads its environment variables.

    Raises:
        InputError: jax rejects the value of an environment variable.
    """
    try:
        import jax
    except ValueError as error:
        raise InputError(f"jax does not start: {one_line(error)}; correct or unset that environment variable") from None
    return jax


def start_backend() -> None:
    """Initializes the devices of jax; call it after everything that must be set before.

    Raises:
        InputError: the requested platform has no devices, or training does not support a setting of jax.
    """
    jax = import_jax()
    for name, needed in _NEEDED.items():
        value = getattr(jax.config, name)
        fix = f"must be {' or '.join(map(one_line, needed))}; unset {name.upper()}"
        check(str(value) in map(str, needed), name, value, fix)
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        asked = jax.config.jax_platforms
        if asked is None:
            raise InputError(f"jax finds no device: {one_line(error)}") from None
        fix = "there is no such device here; set JAX_PLATFORMS=cpu, or unset it. A GPU needs limae-jax[cuda]"
        raise InputError(f"JAX_PLATFORMS={show(asked)}: {fix}") from None


def changed_settings() -> dict[str, Any]:
    """Returns settings of jax that results depend on and that differ from their defaults."""
    values = {name: getattr(import_jax().config, name, default) for name, default in _DEFAULTS.items()}
    return {name: value for name, value in values.items() if value != _DEFAULTS[name]}


def keep_compiled() -> None:
    """Enables jax's persistent compilation cache; warns once if no folder can be written."""
    config = import_jax().config
    given = config.jax_compilation_cache_dir
    if given and "://" in given:
        return
    folder = Path(given) if given else _cache_home()
    if not _is_writable(folder):
        config.update("jax_compilation_cache_dir", None)
        why = f"{folder} is not writable" if folder else "there is no home folder"
        _tell_once(f"compiled programs are not cached: {why}; set XDG_CACHE_HOME to a writable folder")
    elif not given:
        config.update("jax_compilation_cache_dir", str(folder))
        config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _cache_home() -> Path | None:
    """Returns the cache folder; as the XDG Base Directory Specification says, relative paths are ignored."""
    places = (os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache"))
    return next((Path(place) / "limae_jax" / "xla" for place in places if os.path.isabs(place)), None)


def _is_writable(folder: Path | None) -> bool:
    if folder is None:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


@functools.cache
def _tell_once(text: str) -> None:
    logging.getLogger("limae_jax").warning("limae-jax: %s", text)
