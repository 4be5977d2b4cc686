"""From the name of a system to its module."""

from __future__ import annotations

import importlib
from types import ModuleType

from limae_jax.catalogue.systems import check_system


def load_system(name: str) -> ModuleType:
    """The module `limae_jax.systems.<name>`; it holds `make_spec`."""
    return importlib.import_module(f"limae_jax.systems.{check_system(name)}")
