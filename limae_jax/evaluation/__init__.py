"""Trained teams: loading, playing and evaluation, including StarCraft II."""

from limae_jax.devices.backend import import_jax

# Every module here imports jax; this reports jax's import errors in one line.
import_jax()
