"""What a run tells of its seeds."""

import numpy as np
import pytest

from limae_jax.config import RunConfig, TrainConfig
from limae_jax.config.compose import load_config
from limae_jax.training import runner
from limae_jax.training.report import RunReport

pytestmark = pytest.mark.slow


class Noted:
    """A console that keeps the (env_steps, missing) of every update."""

    def __init__(self):
        self.updates = []

    def update(self, now, win_rates):
        self.updates.append((now.env_steps, now.missing))

    def warning(self, text):
        raise AssertionError(text)


def test_nobody_waits_for_a_seed_that_failed(tmp_path):
    shown = Noted()
    report = RunReport(TrainConfig(run=RunConfig(dir=str(tmp_path), num_seeds=4, total_env_steps=1000)), shown)
    report.continue_from([0, 1, 2], 0)
    steps = np.array([500, 20, 700])
    for is_failed in (False, [False, True, False], True):
        report.progress("train", np.ma.masked_array(steps, is_failed), 100.0, None, None)
    # The fourth seed, of the next group, has all of its steps before it.
    assert shown.updates == [(20, 2780), (500, 1800), (20, 1000)]


def test_a_run_shows_itself_unless_told_not_to(tiny, capfd):
    config = load_config(tiny("run.total_env_steps=2000"))
    runner.train(config, console=False)
    assert capfd.readouterr().out == ""
    runner.train(config)
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("vdn on 2m_vs_2m (smax), seed 0, on ")
    assert any(line.startswith("took 0:") and line.endswith(config.run_dir) for line in lines)
    # A duration is said once.
    assert not any("s in all" in line for line in lines)
