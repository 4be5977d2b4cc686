"""QMIX: the value of the team is a monotone, state-conditioned mix of the utilities (Rashid et al. 2018)."""

from limae_jax.systems.value_based import ValueBasedSpec

SPEC = ValueBasedSpec(mixer="qmix")
