"""A damaged run directory is refused in a line that says what is wrong, and stays as it is; or nothing is lost."""

import json
import shutil
from pathlib import Path

import pytest
from doubles.damages import Damage, all_damages, check_answer, sample, snapshot, unsealed
from doubles.fakes import CountingEnv
from doubles.interrupted import stop_after, without_times
from doubles.tiny import TINY

from limae_jax.analysis import battle
from limae_jax.cli import main as cli
from limae_jax.config.compose import load_config
from limae_jax.errors import InputError
from limae_jax.evaluation import evaluate, policy
from limae_jax.metrics.jsonl import read_rows
from limae_jax.runs.stored import read_run
from limae_jax.training import plan, runner

pytestmark = pytest.mark.slow

SHORT = ["run.num_seeds=2", "evaluation.every_time_steps=600", "run.total_env_steps=1500"]
SHORT += ["checkpoint.every_s=0.001", "checkpoint.keep_replay=true"]
DAMAGES = all_damages()
QUICK = sample(DAMAGES, 25)
SOUND = "this is where a battle would be drawn"


@pytest.fixture(autouse=True, scope="module")
def made_up_game():
    """Short chunks of a game without units, in every command."""

    def drawn(config, run_dir, seed, checkpoint, *_):
        policy.load_policy(run_dir, seed, checkpoint)
        raise InputError(SOUND)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CHUNK_TIME_STEPS", 512)
        for module in (evaluate, policy):
            patch.setattr(module, "make_env", lambda config: CountingEnv())
        patch.setattr(battle, "play_stored", drawn)
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that was stopped in its second group, and the same run at its end. No test may write to them."""
    folder = tmp_path_factory.mktemp("runs")
    stopped = load_config([*TINY, *SHORT, f"run.dir={folder / 'stopped'}"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CHUNK_TIME_STEPS", 512)
        stop_after(patch, 6)
        assert runner.train(stopped).exit_code == 130
    shutil.copytree(folder / "stopped", folder / "whole")
    assert runner.resume(folder / "whole").is_complete
    return folder


def commands(run_dir: Path, out: Path) -> dict[str, list[str]]:
    """What reads a run."""
    return {
        "train": ["train", *TINY, *SHORT, f"run.dir={run_dir}"],
        "evaluate": ["evaluate", str(run_dir)],
        "best": ["evaluate", str(run_dir), "--checkpoint", "best"],
        "report": ["report", str(run_dir), "--out", str(out)],
        "render": ["render", str(run_dir)],
    }


def exhaustive_unless_quick(damage: Damage):
    return pytest.param(damage, id=damage.name, marks=[] if damage.name in QUICK else [pytest.mark.exhaustive])


def test_there_are_many_damages_and_some_are_tried_always():
    assert len(DAMAGES) >= 350 and len(QUICK) == 25


@pytest.mark.parametrize("damage", list(map(exhaustive_unless_quick, DAMAGES)))
def test_a_damaged_run_is_refused_as_it_is_or_goes_on_without_loss(damage, runs, tmp_path, capsys):
    run_dir = tmp_path / "run"
    shutil.copytree(runs / "stopped", run_dir)
    damage.apply(run_dir)
    before = snapshot(run_dir)
    names = list(commands(run_dir, tmp_path))
    reader = names[DAMAGES.index(damage) % len(names)]
    if reader != "train":
        code = cli.main(commands(run_dir, tmp_path / "report")[reader])
        check_answer(code, capsys.readouterr().err)
        assert snapshot(run_dir) == before
    command = commands(run_dir, tmp_path)["train"] if reader == "train" else ["resume", str(run_dir)]
    code = cli.main([*command, "checkpoint.every_s=60"])
    out, err = capsys.readouterr()
    check_answer(code, err)
    if code:
        assert snapshot(run_dir) == before
        return
    rows, wanted = (without_times(read_rows(one / "metrics.jsonl")) for one in (run_dir, runs / "whole"))
    # Damage that leaves JSON is not seen. What else was lost of the metrics is told.
    if rows != wanted and "flipped" not in damage.name:
        assert "are missing; continuing without them" in out
        assert all(row in wanted for row in rows)
    stored, config = (json.loads(json.dumps(read_run(one).__dict__, default=str)) for one in (run_dir, runs / "whole"))
    assert {**stored, "run": None, "checkpoint": None} == {**config, "run": None, "checkpoint": None}


def test_what_is_wrong_with_a_later_group_is_told_before_anything_is_written(runs, tmp_path, capsys):
    run_dir = tmp_path / "run"
    shutil.copytree(runs / "stopped", run_dir)
    for path in run_dir.glob("checkpoints/seeds_1_to_1/state/checkpoint_*/small/_METADATA"):
        path.write_bytes(b"{}")
    before = snapshot(run_dir)
    assert cli.main(["resume", str(run_dir), "run.total_env_steps=3000"]) == 2
    assert "_METADATA has 2 bytes instead of" in capsys.readouterr().err
    assert snapshot(run_dir) == before


def test_settings_that_change_no_result_change_on_resume(runs, tmp_path, capsys):
    run_dir = tmp_path / "run"
    shutil.copytree(runs / "stopped", run_dir)
    assert cli.main(["resume", str(run_dir), "metrics.tensorboard=true", "checkpoint.every_s=50"]) == 0
    stored = read_run(run_dir)
    assert (stored.metrics.tensorboard, stored.checkpoint.every_s) == (True, 50.0)
    assert (run_dir / "tensorboard").is_dir()
    assert cli.main(["train", *TINY, *SHORT, f"run.dir={run_dir}"]) == 0
    assert not read_run(run_dir).metrics.tensorboard
    rows, wanted = (read_rows(one / "metrics.jsonl") for one in (run_dir, runs / "whole"))
    assert without_times(rows) == without_times(wanted)
    assert cli.main(["resume", str(run_dir), "checkpoint.every_s=9", "system.gamma=0.5"]) == 2
    assert read_run(run_dir).checkpoint.every_s == 0.001


def killed_before_the_first_save(run_dir: Path) -> None:
    """As a kill leaves a run that has rows and was never saved."""
    shutil.rmtree(run_dir / "checkpoints")
    (run_dir / "saved.json").unlink()
    lines = (run_dir / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run_dir / "metrics.jsonl").write_text(lines[0])


@pytest.mark.parametrize("has_groups", [True, False])
def test_a_run_that_was_killed_before_its_first_save_starts_again(runs, tmp_path, has_groups):
    run_dir = tmp_path / "run"
    shutil.copytree(runs / "stopped", run_dir)
    killed_before_the_first_save(run_dir)
    if not has_groups:
        (run_dir / "groups.json").unlink()
    assert cli.main(["resume", str(run_dir)]) == 0
    rows, wanted = (read_rows(one / "metrics.jsonl") for one in (run_dir, runs / "whole"))
    assert without_times(rows) == without_times(wanted)
    assert json.loads((run_dir / "saved.json").read_text()) == ["seeds_0_to_0", "seeds_1_to_1"]


def test_a_run_that_took_no_note_of_its_saves_is_judged_by_its_metrics(runs, tmp_path, capsys):
    run_dir = tmp_path / "run"
    shutil.copytree(runs / "stopped", run_dir)
    (run_dir / "config.yaml").write_text(unsealed((run_dir / "config.yaml").read_text()))
    (run_dir / "saved.json").unlink()
    shutil.copytree(run_dir, tmp_path / "sound")
    shutil.rmtree(run_dir / "checkpoints")
    before = snapshot(run_dir)
    assert cli.main(["resume", str(run_dir)]) == 2
    assert "checkpoints/seeds_0_to_0/state is missing, though the run was saved there" in capsys.readouterr().err
    assert snapshot(run_dir) == before
    # One row may be older than the first save.
    lines = (run_dir / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run_dir / "metrics.jsonl").write_text(lines[0])
    assert cli.main(["resume", str(run_dir)]) == 0
    # With its checkpoints it goes on, and from then on takes note.
    assert cli.main(["resume", str(tmp_path / "sound")]) == 0
    for one in (run_dir, tmp_path / "sound"):
        assert without_times(read_rows(one / "metrics.jsonl")) == without_times(
            read_rows(runs / "whole" / "metrics.jsonl")
        )
        assert json.loads((one / "saved.json").read_text()) == ["seeds_0_to_0", "seeds_1_to_1"]
        assert (one / "config.yaml").read_text().startswith("format: 6")
