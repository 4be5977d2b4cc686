"""Runs that earlier versions stored are continued to the metrics that those versions went on to."""

import json
import shutil
from pathlib import Path

import pytest
from stored_runs import make

from limae_jax.metrics.jsonl import read_rows
from limae_jax.training import plan, runner

pytestmark = pytest.mark.slow

PLAYS_SMAX = True
FOLDER = Path(make.__file__).parent
TIMES = ("wall_s", "env_steps_per_s")
COUNTS = ("seed", "iteration", "env_steps", "grad_steps", "episodes", "phase", "system")


@pytest.fixture
def short_chunks(monkeypatch):
    monkeypatch.setattr(plan, "CHUNK_TIME_STEPS", make.CHUNK_TIME_STEPS)


@pytest.mark.parametrize("name", make.RUNS)
def test_a_stored_run_goes_on_as_it_did_with_the_version_that_made_it(name, tmp_path, short_chunks):
    run_dir = tmp_path / "run"
    shutil.unpack_archive(FOLDER / f"{name}.tar.gz", run_dir, filter="data")
    expected = read_rows(run_dir / "expected.jsonl")
    stopped = read_rows(run_dir / "metrics.jsonl")
    assert runner.resume(run_dir, [f"run.total_env_steps={make.ENDS_AT}"], console=False).is_complete
    rows = read_rows(run_dir / "metrics.jsonl")
    assert rows[: len(stopped)] == stopped and len(expected) > len(stopped)
    assert [row["iteration"] for row in rows] == [row["iteration"] for row in expected]
    if json.loads((run_dir / "processor.json").read_text()) == make.processor():
        for row, wanted in zip(rows, expected, strict=True):
            for field in wanted.keys() - set(TIMES):
                assert row[field] == wanted[field], (field, row["iteration"])
        return
    # Another processor rounds otherwise, until an action is another; the first row after the stop is close still.
    row, wanted = rows[len(stopped)], expected[len(stopped)]
    assert {name: row[name] for name in COUNTS} == {name: wanted[name] for name in COUNTS}
    assert row["loss"] == pytest.approx(wanted["loss"], rel=0.05)
