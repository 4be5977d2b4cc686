"""Starts jax under what its environment variables ask for, or says in one line what to set."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from limae_jax.checks import check, one_line, show
from limae_jax.errors import InputError

# Settings of jax -> what training works with.
_NEEDED: dict[str, tuple[Any, ...]] = {
    "jax_enable_x64": (False,),
    "jax_disable_jit": (False,),
    "jax_numpy_dtype_promotion": ("standard",),
    "jax_numpy_rank_promotion": ("allow", "warn"),
    "jax_transfer_guard": (None, "allow", "log"),
}
# Settings of jax that results depend on -> their defaults. The kind of random keys is not among them, see `keys`.
_DEFAULTS: dict[str, Any] = {
    "jax_debug_nans": False,
    "jax_default_matmul_precision": None,
    "jax_random_seed_offset": 0,
    "jax_threefry_partitionable": True,
}


def import_jax() -> ModuleType:
    """Imports jax, which reads its environment variables then.

    Raises:
        InputError: one of them has a value that it does not know.
    """
    try:
        import jax
    except ValueError as error:
        raise InputError(f"jax does not start: {one_line(error)}; mend that environment variable or unset it") from None
    return jax


def start_backend() -> None:
    """Finds jax's devices. What must be set before they are found has been set.

    Raises:
        InputError: there are none of the platform that was asked for, or a setting of jax does not work here.
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
    """Settings of jax that results depend on, where they are not as usual."""
    values = {name: getattr(import_jax().config, name, default) for name, default in _DEFAULTS.items()}
    return {name: value for name, value in values.items() if value != _DEFAULTS[name]}


def keep_compiled() -> None:
    """Lets jax keep compiled programs on disk, so that the next start is quick; where it cannot, that is told once."""
    config = import_jax().config
    given = config.jax_compilation_cache_dir
    if given and "://" in given:
        return
    folder = Path(given) if given else _cache_home()
    if not _is_writable(folder):
        config.update("jax_compilation_cache_dir", None)
        why = f"{folder} cannot be written" if folder else "there is no home"
        _tell_once(f"compiled programs are not kept, {why}; set XDG_CACHE_HOME to a folder for them")
    elif not given:
        config.update("jax_compilation_cache_dir", str(folder))
        config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _cache_home() -> Path | None:
    """As the XDG Base Directory Specification has it: what is not absolute counts as if it were not set."""
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
