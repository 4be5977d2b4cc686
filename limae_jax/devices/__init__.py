"""The machine: jax and its devices, memory, seeds over devices, several hosts."""
