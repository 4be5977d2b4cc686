"""Devices and hosts: starting jax, free memory, sharding of seeds, communication between hosts."""
