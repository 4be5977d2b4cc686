"""Saving arrays so that a killed run continues bit for bit. The only place that knows orbax."""
