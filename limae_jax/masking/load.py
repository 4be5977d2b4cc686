"""From the name of a masking rule to its module."""

from __future__ import annotations

import importlib
from types import ModuleType

from limae_jax.catalogue.masking_rules import check_rule


def load_rule(name: str) -> ModuleType:
    """The module `limae_jax.masking.<name>`; it holds `make_rule`."""
    return importlib.import_module(f"limae_jax.masking.{check_rule(name)}")
