"""What a run tells of its seeds."""

import numpy as np

from limae_jax.config import RunConfig, TrainConfig
from limae_jax.training.report import RunReport


class Noted:
    """A console that keeps the (env_steps, eta_s) of every update."""

    def __init__(self):
        self.updates = []

    def update(self, phase, env_steps, steps_per_s, eta_s, win_rates, loss):
        self.updates.append((env_steps, eta_s))


def test_nobody_waits_for_a_seed_that_failed(tmp_path):
    shown = Noted()
    report = RunReport(TrainConfig(run=RunConfig(dir=str(tmp_path), num_seeds=4, total_env_steps=1000)), shown)
    report.continue_from([0, 1, 2], 0)
    steps = np.array([500, 20, 700])
    for is_failed in (False, [False, True, False], True):
        report.progress("train", np.ma.masked_array(steps, is_failed), 100.0, None)
    # The fourth seed, of the next group, has all of its steps before it.
    assert shown.updates == [(20, 27.8), (500, 18.0), (20, 10.0)]
