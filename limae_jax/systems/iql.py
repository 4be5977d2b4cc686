"""Independent Q-learning: every agent learns from its own TD error on the team reward (Tampuu et al. 2017)."""

from limae_jax.systems.value_based import ValueBasedSpec

SPEC = ValueBasedSpec(mixer=None)
