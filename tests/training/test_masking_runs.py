"""Every masking rule in a run that is stopped twice and goes on: in the end it is the run that never was stopped.

The game is a made-up one that compiles at once; everything else is what `limae-jax train` runs.
"""

import functools
from pathlib import Path
from typing import Any

import pytest
from doubles.interrupted import assert_equal_runs, stop_after

from limae_jax.catalogue.masking_rules import RULES
from limae_jax.config.compose import load_config
from limae_jax.metrics.jsonl import read_rows
from limae_jax.training import plan, runner, setup

pytestmark = pytest.mark.slow

SMALL = ["mae.pretrain_time_steps=500", "mae.width=8", "mae.num_heads=2", "mae.window=3", "mae.encoder_layers=1"]
SHORT = ["evaluation.every_time_steps=1200", "run.total_env_steps=2000"]
# Rules that go by more than their batch.
WITH_STATE = ("ema", "vds", "all_but_one")
# With the agents' context; the other rules do without it, as it has nothing to do with them, and compile sooner.
WHOLE = "ema"

_make_setup = setup.make_setup
_programs: dict[tuple[str, str], Any] = {}


def _shared_setup(config, num_devices=None):
    """`make_setup`, but what does not depend on the rule is compiled once for all runs here."""
    made, rule = _make_setup(config, num_devices), config.masking.name
    kind = rule if rule in (WHOLE, *WITH_STATE) else "any"
    made.init = _programs.setdefault((kind, "init"), made.init)
    made.evaluate = _programs.setdefault((kind, "evaluate"), made.evaluate)
    for phase in ("warmup", "pretrain"):
        made.chunks[phase] = _programs.setdefault((kind, phase), made.chunks[phase])
    made.chunks["train"] = _programs.setdefault((rule, "train"), made.chunks["train"])
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Short chunks: two of pre-training, several of training."""
    monkeypatch.setattr(plan, "CHUNK_TIME_STEPS", 256)
    for module in (setup, runner):
        monkeypatch.setattr(module, "make_setup", _shared_setup)


@pytest.mark.parametrize(
    "name",
    # One rule with a state stands for the others.
    [pytest.param(name, marks=[] if name == WHOLE else [pytest.mark.exhaustive]) for name in RULES],
)
def test_a_run_with_masks_goes_on_bit_exactly(name, tiny, final_arrays, monkeypatch):
    # Several updates an iteration, each with a key of its own.
    overrides = ["system=li_ma2e", f"masking={name}", "system.updates_per_iteration=2", *SMALL, *SHORT]
    overrides += ["mixer=vdn", *([] if name == WHOLE else ["mae.context=off"])]
    whole, stopped = (load_config(tiny(*overrides, name=run)) for run in ("whole", "stopped"))
    assert runner.train(whole).exit_code == 0
    # The second chunk is half of pre-training; the fourth is the first of training, and the first evaluation is later.
    for _ in range(2):
        with monkeypatch.context() as patch:
            stop_after(patch, 2)
            assert runner.train(stopped).exit_code == 130
    assert not read_rows(Path(stopped.run_dir) / "metrics.jsonl")
    assert runner.train(stopped).is_complete
    read = functools.cache(final_arrays)
    assert_equal_runs(stopped.run_dir, whole.run_dir, read)
    rows = read_rows(Path(whole.run_dir) / "metrics.jsonl")
    hidden = sum(rows[-1][f"mae/hidden_{agent}"] for agent in (0, 1))
    assert hidden == pytest.approx(1)
    assert (".auxiliary['mae']" in "".join(read(whole.run_dir))) == (name in WITH_STATE)
