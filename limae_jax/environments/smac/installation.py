"""Installation checks for StarCraft II, with instructions for what is missing. Imports nothing of StarCraft II."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

from limae_jax.catalogue.smac_maps import SMAC_MAPS, check_map
from limae_jax.errors import InputError

# Without their dependencies: pysc2 requires enum34, which can break Python, and smac an old protobuf. The extra
# installs the other dependencies.
INSTALL_SMAC = "pip install --no-deps pysc2==4.0.0 git+https://github.com/oxwhirl/smac.git"
INSTALL_EXTRA = "pip install -e '.[smac]'"

# Importable module -> how to get it.
_MODULES = {
    "pysc2": INSTALL_SMAC,
    "s2clientprotocol": INSTALL_EXTRA,
    "google.protobuf": INSTALL_EXTRA,
    "websocket": INSTALL_EXTRA,
    "portpicker": INSTALL_EXTRA,
    "absl": INSTALL_EXTRA,
}
_BINARY = "SC2_x64"


def check_installation(map_name: str) -> None:
    """Checks that the files needed to play a map are installed. Takes milliseconds.

    Raises:
        InputError: something is missing; the message says what to do.
    """
    check_map(map_name)
    for check in CHECKS.values():
        check()
    check_map_file(map_name)


def check_platform() -> str:
    """Checks the operating system."""
    if sys.platform != "linux":
        raise InputError(f"env.name=smac: runs on Linux only, not on {sys.platform}")
    return sys.platform


def check_smac() -> str:
    """Checks oxwhirl's SMAC; returns its version and folder.

    Does not import the package, which is slow and may fail. PyPI's package of this name is a hyper-parameter optimiser.
    """
    spec = importlib.util.find_spec("smac")
    if spec is None or spec.origin is None:  # a plain folder of this name has no origin
        raise InputError(f"the package smac is missing; {INSTALL_SMAC}")
    version = _version("smac")
    for folder in spec.submodule_search_locations or ():
        if (Path(folder) / "env" / "starcraft2" / "starcraft2.py").is_file():
            return f"{version}, {folder}"
    raise InputError(
        f"the installed package smac {version} is the hyper-parameter optimiser, not the StarCraft II environment; "
        f"pip uninstall smac, then {INSTALL_SMAC}"
    )


def check_packages() -> str:
    """Checks SMAC's dependencies from PyPI; returns versions."""
    for module, way in _MODULES.items():
        if not _is_importable(module):
            raise InputError(f"the package {module} is missing; {way}")
    return ", ".join(f"{name} {_version(name)}" for name in ("pysc2", "s2clientprotocol", "protobuf"))


def game_folder() -> Path:
    """Returns StarCraft II's folder: SC2PATH, or ~/StarCraftII as in pysc2."""
    return Path(os.environ.get("SC2PATH") or "~/StarCraftII").expanduser().absolute()


def check_game_folder() -> str:
    """Checks StarCraft II's folder, and returns it."""
    folder, how = game_folder(), "set SC2PATH to the folder that holds Versions/ and Maps/"
    if not (folder / "Versions").is_dir():
        where = "SC2PATH" if os.environ.get("SC2PATH") else "SC2PATH is not set"
        raise InputError(
            f"StarCraft II not found at {folder} ({where}); install the Linux package, 4.10 as in the "
            f"published results, and {how}"
        )
    return str(folder)


def check_binary() -> str:
    """Checks the program of the newest installed version, which pysc2 starts."""
    versions = game_folder() / "Versions"
    builds = {int(path.name[4:]): path for path in versions.glob("Base*") if path.name[4:].isdecimal()}
    if not builds:
        raise InputError(f"{versions}: holds no Base* folder; unpack StarCraft II's Linux package again")
    binary = builds[max(builds)] / _BINARY
    if not binary.is_file():
        raise InputError(f"{binary}: missing; unpack StarCraft II's Linux package again")
    if not os.access(binary, os.X_OK):
        raise InputError(f"{binary}: is not executable; chmod +x {binary}")
    return str(binary)


def map_file(map_name: str) -> Path:
    """Returns the expected path of a map's file."""
    return game_folder() / "Maps" / "SMAC_Maps" / f"{map_name}.SC2Map"


def installed_maps() -> list[str]:
    """Returns the installed SMAC maps."""
    return [name for name in SMAC_MAPS if map_file(name).is_file()]


def check_map_file(map_name: str) -> str:
    """Checks that a map's file is installed, and returns its path."""
    path = map_file(map_name)
    if not path.is_file():
        raise InputError(
            f"{path}: missing; copy the maps (SMAC_Maps.zip of oxwhirl/smac's releases) to {path.parent}; "
            f"found there: {', '.join(installed_maps()) or 'none'}"
        )
    return str(path)


# Name -> check that does not depend on a map, in the order of installation. Each returns what it found.
CHECKS: dict[str, Callable[[], str]] = {
    "system": check_platform,
    "smac": check_smac,
    "packages": check_packages,
    "game folder": check_game_folder,
    "game program": check_binary,
}


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package is missing
        return False


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"
