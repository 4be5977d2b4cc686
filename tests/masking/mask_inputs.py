"""Inputs of masking rules, and rules by name."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from limae_jax.catalogue.masking_rules import RULES
from limae_jax.config import MASKING_CONFIGS
from limae_jax.masking.base import MaskingRule, MaskInputs
from limae_jax.masking.load import make_rule

KEY = 3
THRESHOLD_RULES = ("mean_td", "ema", "vds", "refds", "obs_weighted")
# Every rule with every granularity that it can have.
VARIANTS = [(name, unit) for name, rule in RULES.items() for unit in rule.granularities]


@functools.cache
def make(name: str, num_agents: int, window: int = 2, **settings) -> MaskingRule:
    """A rule whose `select` is compiled."""
    rule = make_rule(MASKING_CONFIGS[name](name=name, **settings), num_agents, window)
    return rule._replace(select=jax.jit(rule.select))


def inputs(td_error, **others) -> MaskInputs:
    """Inputs from errors [T, B, A]; the rest as given, else: all counts, one episode a row, no observation is 0."""
    td_error = jnp.asarray(td_error, jnp.float32)
    shape = td_error.shape
    start = np.zeros(shape[:2], bool)
    start[0] = True
    rest = {
        "is_counted": jnp.ones(shape, bool),
        "obs": jnp.ones((*shape, 4)),
        "is_first": jnp.asarray(start),
        "filled": jnp.ones(shape[:2], bool),
    }
    return MaskInputs(td_error, **(rest | {name: jnp.asarray(value) for name, value in others.items()}))


def first_mask(name: str, given: MaskInputs, key: int = KEY, **settings) -> np.ndarray:
    """is_hidden [T, B, A] of the first batch."""
    rule = make(name, given.is_counted.shape[-1], **settings)
    return np.asarray(rule.select(rule.init(), given, jax.random.key(key))[0])


def random_inputs(seed: int, num_slots: int = 5, num_rows: int = 3, num_agents: int = 4) -> MaskInputs:
    """Noise of which about half counts, in short episodes."""
    generator = np.random.default_rng(seed)
    shape = (num_slots, num_rows, num_agents)
    filled = generator.random(shape[:2]) < 0.8
    return inputs(
        generator.exponential(size=shape),
        is_counted=filled[..., None] & (generator.random(shape) < 0.6),
        obs=(generator.random((*shape, 4)) * (generator.random((*shape, 4)) < 0.5)).astype(np.float32),
        is_first=generator.random(shape[:2]) < 0.3,
        filled=filled,
    )
