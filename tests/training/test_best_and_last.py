"""`best` and `last` have no second copy: what the checkpoint holds is written again, what is lost is named."""

import shutil
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from doubles.checkpoint_worker import check_params, device_state
from doubles.fakes import CountingEnv
from doubles.tiny import TINY

from limae_jax.checkpoints import arrays, files
from limae_jax.checkpoints import params as stored_params
from limae_jax.checkpoints.params import load_params, read_host, save_params
from limae_jax.checkpoints.store import CheckpointStore, DamagedCheckpointError
from limae_jax.config.compose import load_config
from limae_jax.errors import InputError
from limae_jax.evaluation.policy import load_teams
from limae_jax.metrics.jsonl import read_rows
from limae_jax.runs.stored import read_run
from limae_jax.sweeps.grid import load_sweep
from limae_jax.sweeps.sweep import run_sweep
from limae_jax.systems.build import build_system
from limae_jax.training import runner
from limae_jax.training.report import RunReport

pytestmark = pytest.mark.slow

TEMPLATE = jax.eval_shape(lambda: device_state(0)[0]["params"])


def damage_data(folder):
    path = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def empty_manifest(folder):
    next(folder.glob("checkpoint_*/manifest.json")).write_text("{}")


def unindexed(folder):
    """Sound by its checksums, and nothing is in it."""
    (checkpoint,) = folder.glob("checkpoint_*")
    body = files.read_manifest(checkpoint)
    shutil.rmtree(checkpoint / "small")
    files.write_manifest(checkpoint, {**body, "files": {}})


DAMAGES = [damage_data, empty_manifest, unindexed, shutil.rmtree]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run of two seeds, each in a group of its own; copy it before you change it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    config = load_config([*TINY, "run.num_seeds=2", f"run.dir={folder}"])
    assert runner.train(config).exit_code == 0
    return folder


@pytest.fixture
def run_dir(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def warnings(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(RunReport, "warning", lambda self, text: said.append(text))
    return said


def group_of(run_dir, seed=0):
    return run_dir / "checkpoints" / f"seeds_{seed}_to_{seed}"


def contents(folder):
    """(leaves, host) of the newest checkpoint there."""
    checkpoint = sorted(folder.glob("checkpoint_*"))[-1]
    body = files.read_manifest(checkpoint)
    files.verify_files(folder, body["files"])
    template = [jax.ShapeDtypeStruct(tuple(shape), dtype) for _, shape, dtype in body["shapes"]["small"]]
    return [np.asarray(leaf) for leaf in arrays.read_arrays(checkpoint / "small", template)], body["host"]


def are_equal(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_last_is_written_again_and_nothing_is_lost(finished, run_dir, warnings, damage):
    damage(group_of(run_dir) / "last")
    assert runner.resume(run_dir).exit_code == 0
    assert len(warnings) == 1 and "seeds_0_to_0/last: is damaged or gone; written again" in warnings[0]
    (leaves, host), (wanted, wanted_host) = (contents(group_of(where) / "last") for where in (run_dir, finished))
    assert are_equal(leaves, wanted) and host == wanted_host
    assert read_rows(run_dir / "metrics.jsonl") == read_rows(finished / "metrics.jsonl")
    assert runner.resume(run_dir).exit_code == 0
    assert len(warnings) == 1


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_best_starts_again_from_what_is_known_and_the_loss_is_named(finished, run_dir, warnings, damage):
    damage(group_of(run_dir) / "best")
    assert runner.resume(run_dir).exit_code == 0
    _, lost = contents(group_of(finished) / "best")
    assert len(warnings) == 1
    assert "seeds_0_to_0/best: is damaged or gone" in warnings[0]
    assert f"seed 0 ({lost['score'][0]:.3g} at iteration {lost['iteration'][0]})" in warnings[0]
    leaves, host = contents(group_of(run_dir) / "best")
    now, _ = contents(group_of(run_dir) / "last")
    last_row = [row for row in read_rows(run_dir / "metrics.jsonl") if row["seed"] == 0][-1]
    assert are_equal(leaves, now)
    assert host == {"iteration": [last_row["iteration"]], "score": [pytest.approx(last_row["test_win_rate"])]}
    # The other seed's is as it was, and nothing is said or done twice.
    assert contents(group_of(run_dir, 1) / "best")[1] == contents(group_of(finished, 1) / "best")[1]
    longer = runner.resume(run_dir, ["run.total_env_steps=12000"])
    assert longer.is_complete and len(warnings) == 1


def test_the_best_of_a_failed_seed_is_written_again_too(tmp_path, warnings):
    folder = tmp_path / "run"
    diverging = ["system.learning_rate=1e30", "system.max_grad_norm=1e30", "evaluation.every_time_steps=50"]
    assert runner.train(load_config([*TINY, *diverging, f"run.dir={folder}"])).failed_seeds == [0]
    del warnings[:]
    _, lost = contents(group_of(folder) / "best")
    assert lost["score"] != [None]
    damage_data(group_of(folder) / "best")
    for _ in range(2):
        assert runner.resume(folder).failed_seeds == [0]
    (warning,) = warnings
    assert "seeds_0_to_0/best: is damaged or gone" in warning
    assert contents(group_of(folder) / "best")[1] == {"iteration": [0], "score": [None]}


def test_no_score_is_claimed_for_other_parameters(run_dir):
    """A best that is newer than the checkpoint, as after a kill in between, keeps its own score."""
    folder = group_of(run_dir) / "best"
    _, host = contents(folder)
    newer = {"iteration": [host["iteration"][0] + 8], "score": [2.0]}
    (checkpoint,) = folder.glob("checkpoint_*")
    body = files.read_manifest(checkpoint)
    files.write_manifest(checkpoint, {**body, "host": newer})
    assert runner.resume(run_dir, ["run.total_env_steps=14000"]).is_complete
    assert contents(folder)[1] == newer
    progress = CheckpointStore(group_of(run_dir) / "state").read_host()
    assert (progress["best_score"], progress["best_iteration"]) == (newer["score"], newer["iteration"])


def test_the_last_team_has_the_averaged_parameters(run_dir, final_arrays):
    config = read_run(run_dir)
    teams = load_teams(run_dir, build_system(config, CountingEnv().spec), "last")
    trained = final_arrays(run_dir)

    def of(part: str, seed: int) -> dict[str, np.ndarray]:
        prefix = f"{seed}[0].learner.{part}['agent']"
        return {name.removeprefix(prefix): x[0] for name, x in trained.items() if name.startswith(prefix)}

    for index, seed in enumerate(teams.seeds):
        leaves = jax.tree_util.tree_leaves_with_path(teams.params["agent"])
        stored = {jax.tree_util.keystr(path): np.asarray(leaf)[index] for path, leaf in leaves}
        averaged, newest = of("averaged", seed), of("params", seed)
        assert stored.keys() == averaged.keys() == newest.keys()
        for name, leaf in stored.items():
            np.testing.assert_array_equal(leaf, averaged[name])
        assert any(np.any(leaf != newest[name]) for name, leaf in stored.items())


@pytest.mark.parametrize("damage", DAMAGES[:3], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["best", "last"])
def test_what_plays_damaged_parameters_says_that_resuming_makes_them_anew(run_dir, name, damage):
    damage(group_of(run_dir) / name)

    system = build_system(read_run(run_dir), CountingEnv().spec)
    with pytest.raises(DamagedCheckpointError, match="resume the run") as error:
        load_teams(run_dir, system, "best" if name == "best" else "last")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["best", "last"])
def test_a_sweep_goes_on_with_the_cell_whose_parameters_are_damaged(tmp_path, name):
    short = ["evaluation.every_time_steps=600", "run.total_env_steps=1500"]
    asked = load_sweep(
        [*TINY, *short, f"sweep.dir={tmp_path / 'sweep'}", "system.td_lambda=0.5,0.6", "env.max_steps=12,13"]
    )
    assert run_sweep(asked).exit_code == 0
    folders = sorted((tmp_path / "sweep").glob(f"*/seeds_0_to_0/checkpoints/*/{name}"))
    assert len(folders) == 4
    _, host = contents(folders[0])
    damage_data(folders[0])
    damage_data(folders[3])
    result = run_sweep(asked)
    assert result.exit_code == 0 and {outcome.state for outcome in result.outcomes.values()} == {"done"}
    assert contents(folders[0])[1].keys() == host.keys()
    contents(folders[3])


def test_parameters_are_read_while_they_are_replaced(tmp_path):
    """As fast as can be; each read gives one of the states whole."""
    stop, steps = threading.Event(), []
    save_params(tmp_path, device_state(1)[0]["params"], {"iteration": [1]})

    def replace():
        step = 1
        while not stop.is_set():
            step += 1
            save_params(tmp_path, device_state(step)[0]["params"], {"iteration": [step]})
            steps.append(step)

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        read = []
        while len(read) < 40 or len(steps) < 20:
            read += [check_params(tmp_path), read_host(tmp_path)["iteration"][0]]
    finally:
        stop.set()
        writer.join()
    assert read == sorted(read) and read[-1] > 1


def test_readers_give_up_in_one_line(tmp_path, monkeypatch):
    save_params(tmp_path, device_state(1)[0]["params"], {"iteration": [1]})
    tries = []

    def overtaken(self, *templates):
        tries.append(1)
        save_params(tmp_path, device_state(2)[0]["params"], {"iteration": [2]})
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(CheckpointStore, "restore", overtaken)
    with pytest.raises(InputError, match=r"was replaced 20 times while being read; try again later"):
        load_params(tmp_path, TEMPLATE)
    assert len(tries) == stored_params._MOST_TRIES


def test_damage_is_not_read_again(tmp_path, monkeypatch):
    save_params(tmp_path, device_state(1)[0]["params"], {"iteration": [1]})
    damage_data(tmp_path)
    tries, restore = [], CheckpointStore.restore
    monkeypatch.setattr(CheckpointStore, "restore", lambda *args: tries.append(1) or restore(*args))
    with pytest.raises(DamagedCheckpointError, match="resume the run"):
        load_params(tmp_path, TEMPLATE)
    assert len(tries) == 1
