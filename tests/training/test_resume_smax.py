"""Resuming with the real game, whose state has keys, integers and what the enemies remember."""

import pytest
from doubles.interrupted import assert_equal_runs, stop_after
from doubles.tiny import TINY_MIXED

from limae_jax.config.compose import load_config
from limae_jax.training import runner

# test_stored_runs.py plays it always.
pytestmark = pytest.mark.exhaustive

PLAYS_SMAX = True


def test_resuming_in_a_new_process_is_bit_exact(tiny, cli, final_arrays, monkeypatch):
    whole, config = (load_config(tiny(*TINY_MIXED, "run.num_seeds=2", name=name)) for name in ("whole", "stopped"))
    assert runner.train(whole).exit_code == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        stopped = runner.train(config)
    assert (stopped.is_complete, stopped.exit_code) == (False, 130)
    completed = cli("resume", config.run_dir)
    assert "win" in completed.stdout + completed.stderr
    assert_equal_runs(config.run_dir, whole.run_dir, final_arrays)
