"""VDN: the value of the team is the sum of the utilities (Sunehag et al. 2018)."""

from limae_jax.systems.value_based import ValueBasedSpec

SPEC = ValueBasedSpec(mixer="vdn")
