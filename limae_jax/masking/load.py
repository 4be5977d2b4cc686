"""Makes masking rules from their settings."""

from __future__ import annotations

import importlib

import chex
import jax

from limae_jax.catalogue.masking_rules import check_rule
from limae_jax.config.masking import MaskingConfig
from limae_jax.masking.base import MaskingRule, MaskInputs, Selection, check_shapes
from limae_jax.masking.signals import SIGNALS
from limae_jax.registry import registered
from limae_jax.types import PyTree


def make_rule(config: MaskingConfig, num_agents: int, window: int) -> MaskingRule:
    """Makes the rule called `config.name`, from `limae_jax.masking.<name>` or a plug-in.

    Args:
        config: settings of the rule.
        num_agents: A.
        window: L, number of slots in a group of unit `step`.
    """
    make = registered("masking", config.name)
    if make is None:
        make = importlib.import_module(f"limae_jax.masking.{check_rule(config.name)}").make_rule
    rule: MaskingRule = make(config, num_agents, window)
    signal = SIGNALS[getattr(config, "score", "absolute")]

    def select(state: PyTree, inputs: MaskInputs, key: jax.Array) -> Selection:
        check_shapes(inputs)
        inputs = inputs._replace(td_error_agent=signal(inputs))
        chosen = rule.select(state, inputs, key)
        chex.assert_shape(chosen.is_hidden, inputs.is_counted.shape)
        return chosen

    return rule._replace(select=select)
