"""A damaged sweep is refused in a line, or says which of its runs is broken; no run loses what it has."""

import shutil
from pathlib import Path

import pytest
from doubles.damages import check_answer, sample, snapshot, sweep_damages
from doubles.interrupted import stop_after, without_times
from doubles.tiny import TINY

from limae_jax.cli import main as cli
from limae_jax.metrics.jsonl import read_rows
from limae_jax.sweeps import sweep
from limae_jax.sweeps.grid import load_sweep
from limae_jax.training import plan

pytestmark = pytest.mark.slow

GRID = [*TINY, "evaluation.every_time_steps=600", "run.total_env_steps=1500"]
GRID += ["system.learning_rate=1e-3,4e-3", "checkpoint.every_s=0.001", "run.seed_batching=1"]
DAMAGES = sweep_damages()
QUICK = sample(DAMAGES, 12)


@pytest.fixture(autouse=True, scope="module")
def short_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CHUNK_TIME_STEPS", 512)
        yield


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """A sweep of one program that was stopped in its second group, and the same at its end. No test may write to it."""
    folder = tmp_path_factory.mktemp("sweeps")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CHUNK_TIME_STEPS", 512)
        stop_after(patch, 6)
        assert sweep.run_sweep(load_sweep([*GRID, f"sweep.dir={folder / 'stopped'}"])).exit_code == 130
    shutil.copytree(folder / "stopped", folder / "whole")
    assert sweep.run_sweep(load_sweep([*GRID, f"sweep.dir={folder / 'whole'}"])).exit_code == 0
    return folder


def rows_of(folder: Path) -> dict[str, list]:
    """Of every run."""
    paths = sorted(folder.glob("*/seeds_*/metrics.jsonl"))
    return {str(path.relative_to(folder)): without_times(read_rows(path)) for path in paths}


@pytest.mark.parametrize(
    "damage",
    [pytest.param(one, id=one.name, marks=[] if one.name in QUICK else [pytest.mark.exhaustive]) for one in DAMAGES],
)
def test_a_damaged_sweep_loses_nothing(damage, sweeps, tmp_path, capsys):
    folder = tmp_path / "sweep"
    shutil.copytree(sweeps / "stopped", folder)
    damage.apply(folder)
    before = snapshot(folder)
    cells = sorted(folder.glob("*/seeds_0_to_0"))
    if cells:  # what is trained together is not trained alone
        code = cli.main(["resume", str(cells[-1])])
        check_answer(code, capsys.readouterr().err)
        assert code == 2 and snapshot(folder) == before
    code = cli.main(["sweep", *GRID, f"sweep.dir={folder}"])
    out, err = capsys.readouterr()
    assert code in (0, 1, 2, 3) and "Traceback" not in out + err
    if code == 2:
        check_answer(code, err)
    if code:
        assert snapshot(folder) == before
    else:
        assert rows_of(folder) == rows_of(sweeps / "whole")
