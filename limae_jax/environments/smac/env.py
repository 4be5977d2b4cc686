"""SMAC to the training loop: its sizes, known without the game."""

from __future__ import annotations

from limae_jax.catalogue.smac_maps import smac_sizes
from limae_jax.types import EnvSpec


def smac_spec(scenario: str) -> EnvSpec:
    """Sizes of a SMAC map as `StarCraft2Env` gives them by default."""
    return EnvSpec(
        name="smac",
        scenario=scenario,
        outcome_names=("win", "ally_deaths", "enemy_deaths"),
        **smac_sizes(scenario)._asdict(),
    )
