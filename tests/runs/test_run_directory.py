"""What a run keeps beside its metrics and checkpoints: damaged records, and who holds the directory."""

import json
import sys
from pathlib import Path

import jax
import pytest

from limae_jax.config import MetricsConfig, RunConfig, TrainConfig
from limae_jax.config.text import to_file
from limae_jax.errors import InputError
from limae_jax.evaluation.policy import load_teams
from limae_jax.metrics.jsonl import JsonlWriter
from limae_jax.metrics.schema import REQUIRED_FIELDS
from limae_jax.runs.directory import changed_versions, groups_as_begun, write_run_files
from limae_jax.runs.lock import locked
from limae_jax.runs.records import home_of, runs_at_home
from limae_jax.runs.stored import check_run_dir
from limae_jax.sweeps.plan import is_finished
from limae_jax.training import runner
from limae_jax.training.setup import stored_side_by_side

DAMAGED = ["", "[[0, 1], [2", "null", "3", "[]", "{}", '"text"']


def damaged(folder, name, text):
    (folder / name).write_text(text)
    return pytest.raises(InputError, match=rf"{name}: is damaged; put the file back from a copy$")


@pytest.mark.parametrize("text", [*DAMAGED, "[[]]", '[["a"]]', "[0, 1]"])
def test_damaged_groups_are_named(tmp_path, text):
    with damaged(tmp_path, "groups.json", text):
        groups_as_begun(tmp_path, [])
    with damaged(tmp_path, "groups.json", text):
        stored_side_by_side(tmp_path, [0])
    (tmp_path / "config.yaml").write_text(to_file(TrainConfig()))
    with damaged(tmp_path, "groups.json", text):
        load_teams(tmp_path, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [*DAMAGED, '{"home": 3, "runs": [3]}'])
def test_a_damaged_record_of_a_shared_program_is_named(tmp_path, text):
    with damaged(tmp_path, "program.json", text):
        home_of(tmp_path)
    with damaged(tmp_path, "program.json", text):
        runs_at_home(tmp_path)


def go_on(config):
    """What a run says of its versions when it begins or goes on."""
    told = changed_versions(Path(config.run_dir))
    write_run_files(config)
    return told


def test_settings_of_jax_that_results_depend_on_are_told_and_recorded(tmp_path):
    config = TrainConfig(run=RunConfig(dir=str(tmp_path)))
    assert go_on(config) == []
    assert json.loads((tmp_path / "versions.json").read_text())["jax_settings"] == {}
    with jax.threefry_partitionable(False):
        for said in (["default -> jax_threefry_partitionable=false"], []):
            told, *changed = go_on(config)
            assert told == "jax has jax_threefry_partitionable=false: results differ from runs without"
            assert len(changed) == len(said) and all(text in line for text, line in zip(said, changed, strict=True))
    (back,) = go_on(config)
    assert "jax settings jax_threefry_partitionable=false -> default" in back


def test_a_run_from_before_settings_of_jax_were_recorded_goes_on_without_a_word(tmp_path):
    config = TrainConfig(run=RunConfig(dir=str(tmp_path)))
    go_on(config)
    record = json.loads((tmp_path / "versions.json").read_text())
    del record["jax_settings"]
    (tmp_path / "versions.json").write_text(json.dumps(record))
    assert go_on(config) == []


def test_damaged_versions_are_named(tmp_path):
    for text in ("", "{", "[]", "null", "[" * 100_000):
        with damaged(tmp_path, "versions.json", text):
            changed_versions(tmp_path)


def test_only_who_holds_a_directory_keeps_others_out(tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match="another process is training it"), locked(tmp_path):
        pass
    # What happens in there is not told as a matter of the lock.
    with pytest.raises(BlockingIOError, match="a pipe"), locked(tmp_path):
        raise BlockingIOError("a pipe is full")


def test_a_sweep_names_the_damaged_groups_of_a_run(tmp_path):
    config = TrainConfig(run=RunConfig(dir=str(tmp_path)))
    failed = dict.fromkeys(REQUIRED_FIELDS, 0) | {"phase": "train", "is_failed": True}
    JsonlWriter(tmp_path / "metrics.jsonl").write([failed])
    with damaged(tmp_path, "groups.json", "[["):
        is_finished(config)
    (tmp_path / "groups.json").unlink()
    with pytest.raises(InputError, match=r"groups.json: cannot be read \(No such file or directory\)"):
        is_finished(config)


def test_a_missing_extra_leaves_nothing_in_the_place_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = TrainConfig(run=RunConfig(dir=str(tmp_path / "run")), metrics=MetricsConfig(wandb=True))
    with pytest.raises(InputError, match="needs wandb"):
        runner.train(config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "place", ["run/new", "run/checkpoints/new", "link/new", "sweep/new", "sweep/cell/seeds_9_to_9"]
)
def test_a_run_is_not_put_inside_another_or_a_sweep(tmp_path, place):
    for run_dir in (tmp_path / "run", tmp_path / "sweep" / "cell" / "seeds_0_to_1"):
        run_dir.mkdir(parents=True)
        write_run_files(TrainConfig(run=RunConfig(dir=str(run_dir))))
    (tmp_path / "link").symlink_to("run")
    config = TrainConfig(run=RunConfig(dir=str(tmp_path / place)))
    with pytest.raises(
        InputError, match=r"^run\.dir=.*is inside .*, which holds a .*; choose another run\.name or run\.dir$"
    ):
        runner.train(config)
    assert not (tmp_path / place).exists()


def test_a_run_may_lie_beside_other_files(tmp_path):
    (tmp_path / "config.yaml").write_text("somebody: else's")
    (tmp_path / "runs" / "other" / "seeds").mkdir(parents=True)
    check_run_dir(TrainConfig(run=RunConfig(dir=str(tmp_path / "runs" / "new"))))
