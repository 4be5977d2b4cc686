"""Sweeps of short runs."""

from doubles.tiny import TINY

from limae_jax.sweeps.grid import load_sweep

SHORT = ["evaluation.every_time_steps=600", "run.total_env_steps=1500"]
# So that all of it can be compared.
SHORT += ["checkpoint.keep_replay=true"]


def swept(directory, *overrides):
    return load_sweep([*TINY, *SHORT, f"sweep.dir={directory}", *overrides])
