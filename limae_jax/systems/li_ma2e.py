"""LI-MA2E: MA2E that hides the agents whose TD error is above the team's mean."""

from limae_jax.systems.ma2e import make_spec

__all__ = ["make_spec"]
