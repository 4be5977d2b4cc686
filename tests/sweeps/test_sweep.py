"""Sweeps of a made-up game that compiles at once: interrupted and continued, grown, with broken runs among them."""

import contextlib
import io
import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from doubles.fakes import CountingEnv
from doubles.interrupted import stop_after, without_times
from made_up_sweeps import swept
from rich.console import Console

from limae_jax.errors import InputError
from limae_jax.evaluation.policy import load_teams
from limae_jax.metrics.jsonl import read_rows
from limae_jax.runs.directory import groups_as_begun
from limae_jax.runs.lock import locked
from limae_jax.sweeps import program as sweep_program
from limae_jax.sweeps import sweep
from limae_jax.sweeps.plan import is_finished, plan_programs
from limae_jax.training import plan, runner, setup
from limae_jax.training.group import GroupTrainer
from limae_jax.training.report import RunReport
from limae_jax.training.shares import share_groups
from limae_jax.training.signals import StopRequest

pytestmark = pytest.mark.slow

# Wherever something is trained, in groups of three seeds, so that it is compiled once.
THREE = ["run.num_seeds=3", "run.seed_batching=3"]
# The first group is of two runs, the second one is filled up.
GRID = ["system=vdn,iql", "system.learning_rate=1e-3,4e-3", "run.num_seeds=2", "run.seed_batching=3"]


class Killed(BaseException):
    """What ends a process at once: nothing catches it, and nothing is saved."""


class Silent:
    def warning(self, text):
        raise AssertionError(text)


@pytest.fixture(autouse=True)
def made_up_game(monkeypatch):
    """Short chunks of a game without units; map 8m cannot be played."""

    def make_env(config):
        if config.scenario == "8m":
            raise RuntimeError("no such\ngame")
        return CountingEnv()

    monkeypatch.setattr(plan, "CHUNK_TIME_STEPS", 512)
    monkeypatch.setattr(setup, "make_env", make_env)


def arrays_of(asked):
    """Everything that the newest checkpoints of a sweep hold, by run or program and name."""
    arrays = {}
    for program in plan_programs(asked):
        made = runner.make_setup(program.configs[0], 1)
        for group in share_groups(program.configs, groups_as_begun(program.home, []), program.home):
            trainer = GroupTrainer(made, group.seeds, len(group.runs), group.directory, Silent(), group.shares)
            assert trainer.is_restored
            tree = (trainer.state, trainer._best.params, trainer.progress.best_score, trainer.progress.iteration)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
                name = f"{program.home.name} {group.directory.name}{jax.tree_util.keystr(path)}"
                arrays[name] = np.asarray(leaf)
    return arrays


def rows_of(asked):
    folder = Path(asked.settings.dir)
    paths = sorted(folder.glob("*/seeds_*/metrics.jsonl"))
    return {str(path.relative_to(folder)): without_times(read_rows(path)) for path in paths}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A sweep of two systems, two learning rates and two seeds that nothing disturbed, and its arrays. Only read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CHUNK_TIME_STEPS", 512)
        patch.setattr(setup, "make_env", lambda config: CountingEnv())
        asked = swept(tmp_path_factory.mktemp("whole"), *GRID)
        result = sweep.run_sweep(asked)
        assert result.exit_code == 0
        assert [outcome.state for outcome in result.outcomes.values()] == ["done"] * 4
        return asked, arrays_of(asked)


def test_each_cell_is_trained_under_its_own_settings(uninterrupted):
    _, arrays = uninterrupted
    rates = {name: array for name, array in arrays.items() if name.endswith(".settings['system.learning_rate']")}
    # Of two systems each: two seeds of the first rate and one of the second, then the other one and what fills up.
    expected = [[1e-3, 1e-3, 4e-3], [4e-3, 4e-3, 4e-3]] * 2
    np.testing.assert_allclose(sorted(rate.tolist() for rate in rates.values()), sorted(expected), rtol=1e-6)
    # The first and the third are the same seed: only their rates set them apart.
    first = {name: array for name, array in arrays.items() if "group_0[0].learner" in name}
    moved = [array for name, array in first.items() if "params['agent']" in name and "target" not in name]
    assert moved
    assert max(np.abs(array[0] - array[2]).max() for array in moved) > 1e-2


def kill_after(monkeypatch, calls):
    seen = []
    progress = RunReport.progress

    def counted(self, *args):
        seen.append(args)
        if len(seen) > calls:
            raise Killed
        progress(self, *args)

    monkeypatch.setattr(RunReport, "progress", counted)


def test_a_sweep_that_was_killed_half_way_ends_as_one_that_was_not(tmp_path, uninterrupted, monkeypatch):
    reference, expected = uninterrupted
    asked = swept(tmp_path, *GRID, "checkpoint.every_s=0.001")
    # A chunk is told of once for each of its runs: this is in the second program, with both groups of the first done.
    whole = sum(len(rows) for rows in rows_of(reference).values())
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 16)
        sweep.run_sweep(asked)
    rows = sum(len(rows) for rows in rows_of(asked).values())
    assert 0 < rows < whole
    assert sweep.run_sweep(asked).exit_code == 0
    assert rows_of(asked) == rows_of(reference)
    arrays = arrays_of(asked)
    assert [name.partition(" ")[2] for name in arrays] == [name.partition(" ")[2] for name in expected]
    for (name, found), wanted in zip(arrays.items(), expected.values(), strict=True):
        np.testing.assert_array_equal(found, wanted, err_msg=name)
    assert any(".replay.experience" in name for name in arrays)


def test_each_run_has_its_own_parameters_settings_and_directory(uninterrupted):
    asked, arrays = uninterrupted
    folder = Path(asked.settings.dir)
    slow, fast = (folder / f"system.learning_rate={rate},system=vdn" / "seeds_0_to_1" for rate in ("0.001", "0.004"))
    made = runner.make_setup(next(cell.config for cell in asked.cells if cell.config.system.name == "vdn"))
    teams = [load_teams(run_dir, made.parts.system, name) for run_dir in (slow, fast) for name in ("last", "best")]
    assert all({0, 1} <= set(one.seeds.tolist()) for one in teams)
    leaves = [np.asarray(jax.tree.leaves(one.params)[0])[:2] for one in teams]
    assert not np.allclose(leaves[0], leaves[2])
    joint = next(value for name, value in arrays.items() if ".learner.averaged" in name and "group_0" in name)
    assert joint.shape[0] == 3
    np.testing.assert_array_equal(leaves[0], joint[:2])
    with pytest.raises(InputError, match="is trained together with other cells of a sweep"):
        runner.resume(slow)


def test_what_is_finished_is_skipped_and_more_seeds_are_new_runs(uninterrupted, monkeypatch):
    (asked, _), trained = uninterrupted, []

    def noted(configs, *args):
        trained.extend((config.system.name, config.system.learning_rate, config.seeds) for config in configs)
        return [runner.TrainResult(Path(config.run_dir), config, [], [], True, 0) for config in configs]

    monkeypatch.setattr(sweep_program, "train_together", noted)
    assert sweep.run_sweep(asked).exit_code == 0
    assert trained == []
    # Four seeds of which two are there, and a learning rate that is new.
    grown = [text.replace("1e-3,", "1e-3,2e-3,") for text in GRID]
    sweep.run_sweep(swept(asked.settings.dir, *grown, "system=vdn", "run.num_seeds=4"))
    assert trained == [("vdn", 0.001, (2, 3)), ("vdn", 0.002, (0, 1, 2, 3)), ("vdn", 0.004, (2, 3))]


def test_the_plan_of_a_sweep_is_shown_and_nothing_is_done(uninterrupted, tmp_path):
    asked, _ = uninterrupted
    before = sorted(Path(asked.settings.dir).rglob("*"))
    shown = Console(file=io.StringIO(), width=120)
    sweep.show_plan(swept(asked.settings.dir, *GRID, "run.num_seeds=3"), shown)
    text = shown.file.getvalue()
    # Two seeds of each of four cells are there; the third one is to come. Those of one system share a program.
    assert "8 runs in 4 programs" in text and "4 done, 4 to come" in text
    lines = {line.split()[0]: line.split() for line in text.splitlines() if "seeds_" in line}
    programs = {tuple(sorted(name.split("/")[1] for name in lines if lines[name][-1] == str(k))) for k in range(1, 5)}
    assert programs == {("seeds_0_to_1", "seeds_0_to_1"), ("seeds_2_to_2", "seeds_2_to_2")}
    assert all(("done" in words) == ("seeds_0_to_1" in name) for name, words in lines.items())
    assert sorted(Path(asked.settings.dir).rglob("*")) == before
    sweep.show_plan(swept(tmp_path / "new", *GRID), shown)
    assert "4 to come" in shown.file.getvalue() and not (tmp_path / "new").exists()


def test_a_longer_sweep_and_a_part_of_it_go_on_with_the_programs_that_were_begun(uninterrupted):
    asked, _ = uninterrupted
    longer = plan_programs(swept(asked.settings.dir, *GRID, "run.total_env_steps=3000"))
    assert [program.home for program in longer] == [program.home for program in plan_programs(asked)]
    assert all(not is_finished(config) for program in longer for config in program.configs)
    # The other learning rate is in the same program, so it is trained on with the one that was asked for.
    (part,) = plan_programs(swept(asked.settings.dir, *GRID, "system=vdn", "system.learning_rate=1e-3"))
    assert [config.system.learning_rate for config in part.configs] == [0.001, 0.004]


def test_other_settings_in_the_same_place_are_refused(uninterrupted):
    with pytest.raises(InputError, match=r"system\.gamma: 0\.99 -> 0\.5"):
        plan_programs(swept(uninterrupted[0].settings.dir, *GRID, "system.gamma=0.5"))


def test_a_sweep_that_is_asked_to_stop_saves_and_says_how_to_go_on(tmp_path, monkeypatch, capfd):
    asked = swept(tmp_path, *THREE, "system=vdn,iql")
    stop_after(monkeypatch, 1)
    result = sweep.run_sweep(asked, console=True)
    assert result.exit_code == 130
    assert [outcome.state for outcome in result.outcomes.values()] == ["stopped"]
    shown = capfd.readouterr().out
    assert "stopped and saved, the same command continues the sweep" in shown
    assert "1 to come, 1 stopped" in shown


def test_a_broken_run_does_not_stop_the_others(tmp_path):
    asked = swept(tmp_path, *THREE, "env.scenario=8m,2m_vs_2m", "system=vdn")
    result = sweep.run_sweep(asked)
    assert result.exit_code == 1
    outcomes = {run_dir.parent.name: outcome for run_dir, outcome in result.outcomes.items()}
    assert outcomes["env.scenario=8m"] == ("broken", "RuntimeError: no such game")
    assert outcomes["env.scenario=2m_vs_2m"].state == "done"
    assert "RuntimeError" in (tmp_path / "env.scenario=8m" / "seeds_0_to_2" / "error.txt").read_text()
    # A single run of a sweep is a run like any other.
    alone = tmp_path / "env.scenario=2m_vs_2m" / "seeds_0_to_2"
    assert json.loads((alone / "groups.json").read_text()) == [[0, 1, 2]]
    assert runner.resume(alone).is_complete


@pytest.mark.parametrize("gives_up", [False, True])
def test_a_run_that_another_process_trains_is_left_to_it(tmp_path, monkeypatch, capsys, gives_up):
    """It is looked at once more when all others are done."""
    asked = swept(tmp_path, *THREE, "system=vdn,iql")
    held, free = (Path(program.configs[0].run_dir) for program in plan_programs(asked))
    with contextlib.ExitStack() as other:
        other.enter_context(locked(held))

        def train(configs, *args):
            if gives_up:
                other.close()
            return [runner.TrainResult(Path(config.run_dir), config, [], [], True, 0) for config in configs]

        monkeypatch.setattr(sweep_program, "train_together", train)
        result = sweep.run_sweep(asked, console=True)
    assert result.exit_code == (0 if gives_up else 3)
    assert result.outcomes[free].state == "done"
    state, note = result.outcomes[held]
    assert state == ("done" if gives_up else "elsewhere")
    assert gives_up or f"another process is training it ({os.getpid()} on " in note
    assert not list(tmp_path.rglob("error.txt"))
    assert ("give the command again after it ends" in capsys.readouterr().out) != gives_up


def test_of_two_sweeps_that_begin_at_once_one_gets_each_program(uninterrupted, tmp_path, monkeypatch):
    """They take the locks of a program's runs in the same order, whatever order the runs have."""
    seen = []

    @contextlib.contextmanager
    def noted(place):
        seen.append(place)
        yield []

    monkeypatch.setattr(sweep_program, "locked", noted)
    monkeypatch.setattr(sweep_program, "train_together", lambda *_: [])
    for program in plan_programs(swept(tmp_path, *GRID)):
        for configs in (program.configs, program.configs[::-1]):
            seen.clear()
            sweep_program.train_program(program._replace(configs=configs), StopRequest(), [])
            assert len(seen) == 3 and seen == sorted(seen)


@pytest.mark.parametrize("inside", ["", "sweep", "deep/down/sweep"])
def test_a_sweep_is_not_put_inside_a_run(tmp_path, inside):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    for name in ("config.yaml", "versions.json"):
        (run_dir / name).write_text("")
    with pytest.raises(InputError, match=r"^sweep\.dir=.*holds a run; choose another sweep\.dir$"):
        plan_programs(swept(run_dir / inside, "system=vdn"))
    assert sorted(path.name for path in run_dir.iterdir()) == ["config.yaml", "versions.json"]


def test_a_sweep_is_not_put_among_the_runs_of_another_one(uninterrupted):
    directory = Path(uninterrupted[0].settings.dir)
    with pytest.raises(InputError, match=rf"^sweep\.dir=.*is inside {directory}, which holds a sweep; choose another"):
        plan_programs(swept(directory / "more", "system=vdn"))


def test_a_sweep_s_own_setting_is_what_puts_its_runs_elsewhere(uninterrupted, tmp_path):
    with pytest.raises(InputError, match=r"system\.gamma: .*set another sweep\.dir for a new run$"):
        plan_programs(swept(uninterrupted[0].settings.dir, *GRID, "system.gamma=0.5"))
    (tmp_path / "vdn_2m_vs_2m" / "seeds_0_to_0").mkdir(parents=True)
    (tmp_path / "vdn_2m_vs_2m" / "seeds_0_to_0" / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"holds something other than a run; choose another sweep\.dir$"):
        plan_programs(swept(tmp_path, "system=vdn"))


def test_a_run_that_could_not_start_can_be_started(tmp_path):
    asked = [*THREE, "system=vdn"]
    assert sweep.run_sweep(swept(tmp_path, *asked, "run.max_memory_gib=1e-6")).exit_code == 1
    run_dir = tmp_path / "vdn_2m_vs_2m" / "seeds_0_to_2"
    (run_dir / "config.yaml.tmp").write_text("")  # as a kill in that moment leaves it
    assert [path.name for path in run_dir.iterdir() if path.suffix != ".tmp"] == ["error.txt"]
    assert sweep.run_sweep(swept(tmp_path, *asked)).exit_code == 0
    assert not (run_dir / "error.txt").exists()


def test_runs_of_one_program_are_not_torn_apart(uninterrupted, tmp_path):
    whole = plan_programs(uninterrupted[0])
    copy = Path(shutil.copytree(uninterrupted[0].settings.dir, tmp_path / "copy"))
    asked = swept(copy, *GRID)
    runs = [copy / Path(config.run_dir).relative_to(uninterrupted[0].settings.dir) for config in whole[0].configs]
    # As a kill between the two files leaves it.
    (runs[1] / "program.json").unlink()
    assert [program.home.name for program in plan_programs(asked)] == [program.home.name for program in whole]
    shutil.rmtree(runs[1])
    with pytest.raises(InputError, match=rf"^RUN_DIR={runs[1]}: is gone, and {runs[0]} was trained together with it"):
        plan_programs(asked)
    for run_dir in copy.glob("*/seeds_*"):
        shutil.rmtree(run_dir)
    for settings in ([], ["system.gamma=0.5"]):
        with pytest.raises(InputError, match=rf"^sweep\.dir={copy}: .*/programs/\w+ belongs to runs that are gone"):
            plan_programs(swept(copy, *GRID, *settings))


def test_a_plan_that_has_become_stale_is_not_carried_out(uninterrupted, tmp_path):
    stale, _ = plan_programs(swept(tmp_path, *GRID, "system.learning_rate=1e-3,2e-3"))
    shutil.copytree(uninterrupted[0].settings.dir, tmp_path, dirs_exist_ok=True)
    before = rows_of(swept(tmp_path, *GRID))
    outcomes = sweep_program.train_program(stale, StopRequest(), [Silent(), Silent()])
    assert {outcome.state for outcome in outcomes} == {"elsewhere"}
    assert "another process has started it; give the sweep's command again" in outcomes[0].note
    assert not list(tmp_path.rglob("error.txt"))
    assert rows_of(swept(tmp_path, *GRID)) == before


def test_a_run_that_was_extended_by_itself_has_what_the_sweep_asks_for(tmp_path):
    asked = swept(tmp_path, *THREE, "system=vdn")
    ((run_dir, _),) = sweep.run_sweep(asked).outcomes.items()
    assert runner.resume(run_dir, ["run.total_env_steps=2500"]).is_complete
    (program,) = plan_programs(asked)
    assert program.configs[0].run.total_env_steps == 2500 and is_finished(program.configs[0])


def test_an_error_that_cannot_be_written_down_is_told_all_the_same(tmp_path):
    (program,) = plan_programs(swept(tmp_path, "system=vdn"))
    (tmp_path / "file").write_text("")
    nowhere = program._replace(home=tmp_path / "file" / "home")
    (outcome,) = sweep_program.train_program(nowhere, StopRequest(), [Silent()])
    assert outcome.state == "broken" and "file/home: cannot be made (Not a directory)" in outcome.note


def test_a_seed_that_is_not_finite_is_told_again_by_the_finished_sweep(tmp_path, monkeypatch):
    two_and_one = ["run.num_seeds=2", "run.seed_batching=3"]
    asked = swept(tmp_path, *two_and_one, "system=vdn", "system.learning_rate=1e-3,1e30", "system.max_grad_norm=1e30")
    told, progress = [], RunReport.progress

    def noted(self, phase, env_steps, env_steps_per_s, loss, left):
        told.append((self.config.system.learning_rate, np.ma.getmaskarray(env_steps).tolist(), loss))
        progress(self, phase, env_steps, env_steps_per_s, loss, left)

    monkeypatch.setattr(RunReport, "progress", noted)
    for _ in range(2):
        result = sweep.run_sweep(asked)
        states = {run_dir.parent.name: outcome.state for run_dir, outcome in result.outcomes.items()}
        assert states == {"system.learning_rate=0.001": "done", "system.learning_rate=1e+30": "failed"}
        assert result.exit_code == 1
    # The third seed of the first group, which is the other run's first, fails: nobody waits for it then.
    losses = [loss for rate, _, loss in told if rate == 1e-3 and loss is not None]
    assert losses and np.isfinite(losses).all()
    assert {rate for rate, is_failed, _ in told if any(is_failed)} == {1e30}
