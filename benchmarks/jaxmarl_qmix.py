"""Times the qmix_rnn script of a JaxMARL checkout on the work of the preset `jaxmarl`.

The script is loaded unchanged from PATH/baselines/QLearning/qmix_rnn.py, with settings that make it collect 8 rows of
128 steps and do one update of 32 rows per iteration. The times of two lengths are subtracted, so that neither compiling
nor the iterations before the first update count.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import types
from pathlib import Path
from typing import Any

import jax

from limae_jax.environments.jaxmarl import import_jaxmarl

SHORT, LONG = 60, 160
ENVS, STEPS = 8, 128
SETTINGS = {
    "NUM_ENVS": ENVS,
    "NUM_STEPS": STEPS,
    "BUFFER_SIZE": 5000,
    "BUFFER_BATCH_SIZE": 32,
    "HIDDEN_SIZE": 64,
    "MIXER_EMBEDDING_DIM": 32,
    "MIXER_HYPERNET_HIDDEN_DIM": 64,
    "MIXER_INIT_SCALE": 0.001,
    "EPS_START": 1.0,
    "EPS_FINISH": 0.05,
    "EPS_DECAY": 0.1,
    "MAX_GRAD_NORM": 10,
    "TARGET_UPDATE_INTERVAL": 10,
    "TAU": 1.0,
    "NUM_EPOCHS": 1,
    "LR": 0.0005,
    "LEARNING_STARTS": 0,
    "GAMMA": 0.99,
    "REW_SCALE": 10.0,
    "TEST_DURING_TRAINING": False,
    "TEST_NUM_ENVS": 1,
    "WANDB_MODE": "disabled",
}


def load_script(checkout: Path) -> types.ModuleType:
    """Loads the script as a module, with a stub for wandb, which it imports."""
    sys.modules.setdefault("wandb", types.ModuleType("wandb"))
    path = checkout / "baselines" / "QLearning" / "qmix_rnn.py"
    spec = importlib.util.spec_from_file_location("jaxmarl_qmix_rnn", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"--jaxmarl={checkout}: holds no baselines/QLearning/qmix_rnn.py")
    import_jaxmarl()
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise SystemExit(f"--jaxmarl={checkout}: its script needs {error.name}; pip install {error.name}") from None
    return module


class JaxMarlQmix:
    """The compiled script at two lengths."""

    def __init__(self, checkout: Path, scenario: str, num_seeds: int):
        script = load_script(checkout)
        kwargs = {"see_enemy_actions": True, "walls_cause_death": True, "attack_mode": "closest"}
        units = script.map_name_to_scenario(scenario)
        env = script.SMAXLogWrapper(script.make("HeuristicEnemySMAX", scenario=units, **kwargs))
        self._keys = jax.random.split(jax.random.PRNGKey(0), num_seeds)
        self._num_seeds = num_seeds
        self._programs: dict[int, Any] = {}
        for updates in (SHORT, LONG):
            settings = {**SETTINGS, "TOTAL_TIMESTEPS": updates * ENVS * STEPS}
            train = jax.jit(jax.vmap(script.make_train(settings, env)))
            began = time.perf_counter()
            self._programs[updates] = train.lower(self._keys).compile()
            self.compile_s = time.perf_counter() - began

    def env_steps_per_s(self) -> float:
        """Returns the environment steps of all seeds per second, updates included."""
        seconds = {}
        for updates, program in self._programs.items():
            began = time.perf_counter()
            jax.block_until_ready(program(self._keys))
            seconds[updates] = time.perf_counter() - began
        return self._num_seeds * (LONG - SHORT) * ENVS * STEPS / (seconds[LONG] - seconds[SHORT])
