"""Rollouts: rows for training, episodes for evaluation, and games that run on the host."""

from limae_jax.devices.backend import import_jax

# The whole package imports jax; this turns errors of that import into one-line messages.
import_jax()
