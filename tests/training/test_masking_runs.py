"""Every masking rule in a run that is stopped and goes on: in the end it is the run that never was stopped."""

import copy
import functools
import itertools

import numpy as np
import pytest
from test_resume import assert_equal_runs, stop_after

from limae_jax.compose import load_config
from limae_jax.masking.names import RULES
from limae_jax.metrics.jsonl import read_rows
from limae_jax.training import plan, runner, setup

SIZES = ["mae.pretrain_env_steps=500", "mae.width=8", "mae.num_heads=2", "mae.window=4"]
SHORT = ["evaluation.every_env_steps=1200", "run.total_env_steps=2500", "replay.capacity_rows=100"]
# Rules that go by more than their batch.
WITH_STATE = {"ema", "vds", "all_but_one"}


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    """Of four iterations: two of pre-training, several of training."""
    monkeypatch.setattr(plan, "CHUNK_TIME_STEPS", 256)


@pytest.fixture
def compiled_once(monkeypatch):
    """Runs that differ in their directory alone share their programs."""
    make = functools.cache(setup.make_setup)
    first = []

    def shared(config):
        first.append(config)
        made = copy.copy(make(first[0]))
        made.config = config
        return made

    monkeypatch.setattr(setup, "make_setup", shared)
    monkeypatch.setattr(runner, "make_setup", shared)


def chunks_of(name: str) -> int:
    """Chunks until the stop: in the middle of pre-training, or after a few of training, in turn."""
    return next(count for rule, count in zip(RULES, itertools.cycle([5, 2]), strict=False) if rule == name)


@pytest.mark.parametrize("name", RULES)
def test_a_run_with_masks_is_continued_bit_exactly(name, tiny, final_arrays, monkeypatch, compiled_once):
    overrides = ["system=li_ma2e", f"masking={name}", *SIZES, *SHORT]
    whole, stopped = (load_config(tiny(*overrides, name=run)) for run in ("whole", "stopped"))
    assert runner.train(whole).exit_code == 0
    with monkeypatch.context() as patch:
        stop_after(patch, chunks_of(name))
        assert runner.train(stopped).exit_code == 130
    assert runner.train(stopped).is_complete
    assert_equal_runs(stopped.run_dir, whole.run_dir, final_arrays)
