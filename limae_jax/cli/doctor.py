"""`limae-jax doctor`: checks the installation and says how to fix it."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from limae_jax.devices.backend import import_jax, start_backend
from limae_jax.errors import GameError, InputError
from limae_jax.version import __version__

PACKAGES = ("jax", "jaxlib", "flax", "optax", "jaxmarl", "flashbax", "orbax-checkpoint", "hydra-core", "numpy")
# Enough to see that the game runs.
_STEPS = 5


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: what was checked.
        is_fine: whether the check passed.
        text: what was found, or what to do.
    """

    name: str
    is_fine: bool
    text: str


def examine() -> Iterator[Finding]:
    """Checks this package, its dependencies, and the devices."""
    yield Finding("limae-jax", True, f"{__version__}, Python {platform.python_version()}")
    yield _find("packages", _packages)
    yield _find("devices", _devices)


def examine_smac() -> Iterator[Finding]:
    """Checks StarCraft II, from its packages to launching a game and playing a few steps."""
    from limae_jax.environments.smac.installation import CHECKS, installed_maps

    findings = [_find(name, check) for name, check in CHECKS.items()]
    findings.append(_find("maps", _maps))
    yield from findings
    if all(finding.is_fine for finding in findings):
        yield _find("game", lambda: _play(installed_maps()[0]))


def _find(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except (InputError, GameError) as error:
        return Finding(name, False, str(error))


def _packages() -> str:
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            raise InputError(f"the package {name} is missing; install limae-jax again") from None
    return ", ".join(versions)


def _devices() -> str:
    start_backend()
    return ", ".join(f"{device.platform}:{device.id} {device.device_kind}" for device in import_jax().devices())


def _maps() -> str:
    from limae_jax.catalogue.smac_maps import SMAC_MAPS
    from limae_jax.environments.smac.installation import check_map_file, installed_maps

    there = installed_maps()
    if not there:
        check_map_file(next(iter(SMAC_MAPS)))
    missing = [name for name in SMAC_MAPS if name not in there]
    return f"{len(there)} of {len(SMAC_MAPS)}" + (f", without {', '.join(missing)}" if missing else "")


def _play(map_name: str) -> str:
    from limae_jax.catalogue.smac_game import GameSettings
    from limae_jax.catalogue.smac_maps import STOP_ACTION
    from limae_jax.environments.smac.pool import BattlePool

    began = time.monotonic()
    with BattlePool(GameSettings(map_name), num_workers=1, max_crashes=2) as games:
        steps = games.reset()
        for _ in range(_STEPS):
            # Dead agents can only choose no-op, action 0.
            steps = games.step(steps.avail[..., STOP_ACTION].astype(int) * STOP_ACTION)
        seconds = time.monotonic() - began
        return f"StarCraft II {games.info.game_version}: launched, {_STEPS} steps of {map_name} played, {seconds:.1f} s"
