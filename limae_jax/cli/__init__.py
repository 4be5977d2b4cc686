"""The command line: `limae_jax.cli.main`."""
