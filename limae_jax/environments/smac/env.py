"""SMAC to the training loop: its sizes, known without the game."""

from __future__ import annotations

from limae_jax.catalogue.smac_maps import smac_sizes
from limae_jax.environments.base import spec_of
from limae_jax.types import EnvSpec


def smac_spec(scenario: str) -> EnvSpec:
    """Sizes of a SMAC map as `StarCraft2Env` gives them by default."""
    outcomes = ("win", "ally_deaths", "enemy_deaths")
    return spec_of("smac", scenario, smac_sizes(scenario), outcome_names=outcomes)
