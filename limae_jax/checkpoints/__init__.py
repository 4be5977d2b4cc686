"""Checkpoints from which a killed run continues bit for bit. The only package that uses orbax."""
