"""Worker processes for games that are not written in JAX, such as StarCraft II."""
