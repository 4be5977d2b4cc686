"""Training of a run: training loop, groups of seeds, reports."""

from limae_jax.devices.backend import import_jax

# The whole package imports jax; this turns errors of that import into one-line messages.
import_jax()
