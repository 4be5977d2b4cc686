"""What there is to choose from, as plain data: scenarios, maps, systems, masking rules. Starts no jax."""
