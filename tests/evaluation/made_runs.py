"""Runs whose seeds have their first parameters: nothing is trained."""

from pathlib import Path

import jax
import numpy as np

from limae_jax.checkpoints.params import save_params
from limae_jax.config.compose import load_config
from limae_jax.runs.directory import group_directory, write_groups, write_run_files
from limae_jax.training import setup


def made_run(run_dir: Path, *overrides: str) -> Path:
    """A run of seeds 4 to 6, iterations 7 to 9; "best" has other parameters than the last ones."""
    config = load_config([*overrides, "run.num_seeds=3", "run.first_seed=4", f"run.dir={run_dir}"])
    write_run_files(config)
    write_groups(run_dir, [np.asarray(config.seeds, np.int32)])
    system = setup.make_setup(config).parts.system
    for name, shift in (("last", 0), ("best", 10)):
        params = jax.vmap(lambda seed: system.init(jax.random.key(seed)).params)(np.arange(3) + shift)
        save_params(group_directory(run_dir, np.asarray(config.seeds)) / name, params, {"iteration": [7, 8, 9]})
    return run_dir
