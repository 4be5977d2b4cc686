"""Runs in folders of any name are trained, resumed and read, or refused in one line before anything is written."""

import os
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
from doubles.fakes import CountingEnv
from doubles.tiny import TINY
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from limae_jax.config import RunConfig, TrainConfig
from limae_jax.config.compose import load_config
from limae_jax.errors import InputError
from limae_jax.evaluation.policy import load_teams
from limae_jax.runs.stored import read_run
from limae_jax.sweeps.grid import load_sweep
from limae_jax.sweeps.sweep import run_sweep
from limae_jax.systems.build import build_system
from limae_jax.training import runner

pytestmark = pytest.mark.slow

SHORT = ["evaluation.every_time_steps=600", "run.total_env_steps=1500"]


def config_of(run: RunConfig) -> TrainConfig:
    whole = load_config([*TINY, *SHORT])
    return TrainConfig(whole.env, whole.system, whole.mae, whole.masking, whole.replay, whole.evaluation, run=run)


def check_run(run_dir: Path, steps: int) -> None:
    system = build_system(read_run(run_dir), CountingEnv().spec)
    for name in ("last", "best"):
        teams = load_teams(run_dir, system, name)
        assert teams.seeds.tolist() == [0]
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(teams.params))
    assert read_run(run_dir).run.total_env_steps == steps


def train_and_go_on(name: str) -> None:
    """Trains, resumes and reads a run below a folder of its own, or it is refused and nothing is there."""
    with tempfile.TemporaryDirectory(prefix="odd_") as above:
        run_dir = Path(f"{above}/{name}/run")
        try:
            run = RunConfig(dir=str(run_dir), total_env_steps=1500, seed_batching="sequential")
            assert runner.train(config_of(run)).exit_code == 0
        except InputError as error:
            assert "\n" not in str(error) and not os.listdir(above)
            return
        check_run(run_dir, 1500)
        assert runner.resume(run_dir, ["run.total_env_steps=3000"]).exit_code == 0
        check_run(run_dir, 3000)
        # The names of folders alone, no bytes of the run beside it.
        assert [path for path in Path(above).rglob("*") if path.is_file() and run_dir not in path.parents] == []


# Text that the file system takes, and some that it does not.
SIGNS = st.sampled_from("[]*?\\:~$%{}!#-. \n\t'\"")
TEXT = st.text(st.one_of(st.characters(exclude_characters="/"), SIGNS), max_size=40)
BYTES = st.binary(max_size=20).map(os.fsdecode)
ADDRESSES = ["gs:", "s3:", "file:", "gs://b", "C:", ".", "~", "-", "%2e", "[" * 255, "n" * 256, "/x" * 1990]
PARTS = st.lists(st.one_of(TEXT, BYTES, st.sampled_from(ADDRESSES)), min_size=1, max_size=3)
# Not out of the folder that the test removes.
NAMES = PARTS.map("/".join).filter(lambda name: ".." not in name.split("/"))


@pytest.mark.exhaustive
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(NAMES)
@example("qmix[seed0]")
@example("a\\b")
@example("gs:/b")
@example("\udce9")
@example("\ud800")
@example("a\0b")
def test_a_run_of_any_name_is_trained_resumed_and_read_or_refused(name):
    train_and_go_on(name)


@pytest.mark.parametrize("name", ["qmix[seed0]", "a\\b", "gs:", os.fsdecode(b"caf\xe9"), "-a\n"], ids=ascii)
def test_a_run_of_an_odd_name_goes_on(name):
    train_and_go_on(name)


@pytest.mark.parametrize(
    "name", ["a\0b", "\ud800", "\udc00", "n" * 256, "/x" * 1990], ids=lambda name: ascii(name)[:20]
)
def test_what_no_file_system_takes_is_refused_before_anything_is_written(name):
    with pytest.raises(InputError, match=r"^run\.dir="):
        RunConfig(dir=f"/tmp/{name}")


def test_cells_named_after_lists_are_trained_and_continued(tmp_path):
    def sweep(steps):
        health = "env.unit_type_health=[45,125,160,150,35,80],[60,125,160,150,35,80]"
        one_unit = ["env.scenario=2m_vs_2m", health, f"sweep.dir={tmp_path / 'sweep'}"]
        return load_sweep([*TINY, *SHORT, *one_unit, f"run.total_env_steps={steps}"])

    for steps in (1500, 6000):
        result = run_sweep(sweep(steps))
        assert result.exit_code == 0 and len(result.outcomes) == 2
        for run_dir in result.outcomes:
            assert "[" in run_dir.parent.name
            check_run(run_dir, steps)
