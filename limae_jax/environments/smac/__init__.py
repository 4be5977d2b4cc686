"""StarCraft II through oxwhirl/smac, in worker processes. Importing this package imports neither these nor jax."""
