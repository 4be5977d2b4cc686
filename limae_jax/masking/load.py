"""From the settings of a masking rule to the rule."""

from __future__ import annotations

import importlib

from limae_jax.catalogue.masking_rules import check_rule
from limae_jax.config.masking import MaskingConfig
from limae_jax.masking.base import MaskingRule
from limae_jax.registry import registered


def make_rule(config: MaskingConfig, num_agents: int, window: int) -> MaskingRule:
    """The rule that `config.name` names: of `limae_jax.masking.<name>`, or of a plug-in.

    Args:
        config: its settings.
        num_agents: A.
        window: L, slots of a group of granularity `step`.
    """
    make = registered("masking", config.name)
    if make is None:
        make = importlib.import_module(f"limae_jax.masking.{check_rule(config.name)}").make_rule
    return make(config, num_agents, window)
