"""Names of the systems, as plain data, so that the command line can check one without starting jax."""

from __future__ import annotations

import importlib
from types import ModuleType

from limae_jax.registry import check_name

SYSTEMS = {
    "iql": "independent Q-learning on the team reward, no mixer (Tan 1993; Tampuu et al. 2017)",
    "vdn": "the team's value is the sum of the agents' (Sunehag et al. 2018)",
    "qmix": "the team's value is a monotone, state-conditioned mix of the agents' (Rashid et al. 2018)",
}


def check_system(name: str) -> str:
    """Returns `name`, or raises InputError with the names there are."""
    return check_name("system", name, SYSTEMS)


def load_system(name: str) -> ModuleType:
    """The module `limae_jax.systems.<name>`; it holds the specification `SPEC`."""
    return importlib.import_module(f"limae_jax.systems.{check_system(name)}")
