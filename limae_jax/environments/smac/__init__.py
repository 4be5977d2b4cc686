"""Real StarCraft II through oxwhirl/smac, in worker processes. Importing this package imports none of it, nor jax."""
