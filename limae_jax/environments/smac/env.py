"""The spec of SMAC, which does not need the game."""

from __future__ import annotations

from limae_jax.catalogue.smac_maps import smac_sizes
from limae_jax.environments.base import spec_of
from limae_jax.types import EnvSpec


def smac_spec(scenario: str) -> EnvSpec:
    """Returns the spec of a SMAC map with the default settings of `StarCraft2Env`."""
    outcomes = ("win", "ally_deaths", "enemy_deaths")
    return spec_of("smac", scenario, smac_sizes(scenario), outcome_names=outcomes)
