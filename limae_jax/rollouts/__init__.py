"""Playing games: rows for training, episodes for evaluation, games that the host plays."""

from limae_jax.devices.backend import import_jax

# All of this package imports jax; what jax refuses then is told in one line.
import_jax()
