"""Games in processes of their own, side by side: StarCraft II, and whatever else is not written in JAX."""
