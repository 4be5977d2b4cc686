"""Trained teams at work: as a library, in evaluations, in StarCraft II."""

from limae_jax.devices.backend import import_jax

# All of this package imports jax; what jax refuses then is told in one line.
import_jax()
