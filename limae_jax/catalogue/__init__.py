"""The available scenarios, maps, systems and masking rules, as plain data. Nothing here imports jax."""
