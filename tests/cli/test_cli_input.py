"""The command line up to the point where work would begin: answers, mistakes, exit codes."""

import dataclasses
import errno
import importlib.util
import itertools
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import limae_jax
from limae_jax.analysis.render import film_best
from limae_jax.catalogue.masking_rules import RULES
from limae_jax.catalogue.matrix_games import MATRIX_SCENARIOS
from limae_jax.catalogue.scenarios import MPE_SCENARIOS, SMAX_SCENARIOS
from limae_jax.catalogue.systems import SYSTEMS
from limae_jax.cli.listing import print_evaluation
from limae_jax.cli.main import main
from limae_jax.config import MASKING_CONFIGS, MetricsConfig, RunConfig, TrainConfig
from limae_jax.config.compose import experiment_sweep, load_cell, load_config, options
from limae_jax.config.text import from_yaml, to_yaml
from limae_jax.metrics import terminal

pytestmark = pytest.mark.slow

# Run in a fresh process: after each command, neither jax nor jaxmarl may have been imported.
QUICK_COMMANDS = """
import contextlib, io, sys
from limae_jax.cli.main import main
commands = [
    (2, []), (2, ["trian"]), (2, ["train", "system=qmxi"]), (2, ["train", "env.scenario=3q"]), (2, ["train", "--foo"]),
    (2, ["resume", "nowhere"]), (2, ["evaluate", "nowhere"]), (2, ["list", "maps"]), (2, ["config", "foo=1"]),
    (2, ["resume", "run", "run.num_seeds=2"]), (2, ["evaluate", "run", "env.scenario=8m"]),
    (2, ["train", "run.dir=run", "run.num_seeds=2"]), (2, ["report", "run", "--out", "out"]),
    (2, ["render", "run", "--agent", "3"]),
    (2, ["prune", "run", "nowhere"]), (2, ["export", "run", "--out", "team.npz"]),
    (2, ["sweep", "system=qmix,vdnn"]), (2, ["sweep", "run.dir=x"]),
    (0, ["config", "experiment=quickstart"]), (0, ["list", "scenarios"]), (0, ["list", "systems"]),
    (0, ["list", "masking"]), (0, ["list", "experiments"]),
]
for expected, command in commands:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = main(command)
    heavy = {"jax", "jaxlib", "jaxmarl", "flax"} & set(sys.modules)
    if code != expected or heavy:
        sys.exit(f"{command}: code {code}, imported {heavy}")
for help_command in (["--help"], ["train", "--help"], ["--version"]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(help_command)
    if {"jax", "jaxmarl"} & set(sys.modules):
        sys.exit(f"{help_command} imported jax")
"""

# The same of a run directory with one damaged file after the other.
QUICK_REFUSALS = """
import contextlib, io, sys
from pathlib import Path
from limae_jax.cli.main import main
damages = {
    "groups.json": '[[5]]', "saved.json": '["seeds_0_to_0"]', "program.json": '{"home": "../x"}',
    "versions.json": "null", "metrics.jsonl": '{"seed": 0}', "config.yaml": "format: 3",
}
for name, text in damages.items():
    path = Path("run", name)
    before = path.read_text() if path.is_file() else None
    path.write_text(text)
    if name == "saved.json":
        Path("run/groups.json").write_text("[[0]]")
    for command in (["resume", "run"], ["train", "run.dir=run"]):
        with contextlib.redirect_stderr(io.StringIO()) as err:
            code = main(command)
        if code != 2 or "jax" in sys.modules or err.getvalue().count("\\n") != 1:
            sys.exit(f"{name}, {command}: code {code}, {err.getvalue()}")
    path.write_text(before) if before else path.unlink()
    Path("run/groups.json").unlink(missing_ok=True)
"""

# No file system takes it.
LONG = "a" * 256

# Subprocesses find the package as this process found it.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def run_python(*arguments: str, cwd: Path | None = None, **options) -> subprocess.CompletedProcess:
    """Runs Python in a process of its own."""
    return subprocess.run([sys.executable, *arguments], env=ENVIRONMENT, cwd=cwd, stderr=subprocess.PIPE, **options)


def mistake(capsys, *command: str) -> str:
    """The one line of a command that must be refused."""
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("limae-jax: error: ")
    return err.removeprefix("limae-jax: error: ").strip()


@pytest.fixture
def run_dir(tmp_path) -> Path:
    """A run directory as `train` leaves it, without anything trained."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(to_yaml(TrainConfig(run=RunConfig(dir=str(folder)))))
    return folder


@pytest.fixture
def calls(monkeypatch) -> list:
    """Takes the place of training and evaluation; holds what they were called with."""
    seen: list = []

    def called(name, result):
        def call(*args, **kwargs):
            seen.append((name, *args, kwargs))
            return result

        return call

    runner = ModuleType("limae_jax.training.runner")
    runner.train = called("train", SimpleNamespace(exit_code=1))
    runner.resume = called("resume", SimpleNamespace(exit_code=143))
    evaluate = ModuleType("limae_jax.evaluation.evaluate")
    rows = [
        {"seed": seed, "scenario": "3m", "test_win_rate": rate, "test_return_mean": 1.25, "test_episodes": 1024}
        for seed, rate in ((0, 0.5), (1, 0.75), (2, None))
    ]
    evaluate.evaluate_run = called("evaluate", rows)
    sweep = ModuleType("limae_jax.sweeps.sweep")
    sweep.run_sweep = called("sweep", SimpleNamespace(exit_code=0))
    sweep.show_plan = called("plan", None)
    monkeypatch.setitem(sys.modules, "limae_jax.sweeps.sweep", sweep)
    monkeypatch.setitem(sys.modules, "limae_jax.training.runner", runner)
    monkeypatch.setitem(sys.modules, "limae_jax.evaluation.evaluate", evaluate)
    return seen


def test_answers_and_mistakes_need_no_jax(run_dir):
    done = run_python("-c", QUICK_COMMANDS, cwd=run_dir.parent)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_damaged_run_is_refused_without_jax(run_dir):
    done = run_python("-c", QUICK_REFUSALS, cwd=run_dir.parent)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("trian",), "argument COMMAND: invalid choice: 'trian'"),
        (("train", "--seeds", "3"), "unrecognized arguments: --seeds; see limae-jax --help"),
        (("list", "systems", "more"), "unrecognized arguments: more"),
        (
            ("list", "scenario"),
            "list=scenario: unknown; choose one of experiments, masking, scenarios, systems. Did you mean",
        ),
        (("resume",), "the following arguments are required: RUN_DIR; see limae-jax resume --help"),
        (("resume", "nowhere"), "RUN_DIR=nowhere: no such directory"),
        (("evaluate", "nowhere"), "RUN_DIR=nowhere: no such directory"),
        (("evaluate", ".", "--checkpoint", "first"), "--checkpoint=first: choose one of last, best"),
        (("report", "nowhere"), "the following arguments are required: --out; see limae-jax report --help"),
        (("report", "nowhere", "--out", "out"), "RUN_DIR=nowhere: no such directory"),
        (("render", "nowhere"), "RUN_DIR=nowhere: no such directory"),
        (("render", "nowhere", "--agent", "one"), "argument --agent: invalid int value: 'one'"),
        (("config", f"system.gamma={'1' * 5000}"), f"system.gamma={'1' * 44}...: an override has at most 4000"),
        (("train", f"run.dir={LONG}"), f"run.dir={LONG[:57]}...: a path has at most"),
        (("train", f"run.name={LONG}"), f"run.name={LONG[:57]}...: a path has at most"),
        (("resume", LONG), f"RUN_DIR={LONG[:57]}...: a path has at most"),
        (("evaluate", LONG), f"RUN_DIR={LONG[:57]}...: a path has at most"),
        (("evaluate", "nowhere", f"env.scenario={LONG}"), "RUN_DIR=nowhere: no such directory"),
        (("report", LONG, "--out", "out"), f"RUN_DIR={LONG[:57]}...: a path has at most"),
        (("render", LONG), f"RUN_DIR={LONG[:57]}...: a path has at most"),
        (("train", "quickstart"), "quickstart: has no value; did you mean experiment=quickstart?"),
        (("train", "system=qmxi"), "system=qmxi: unknown"),
        (("config", "run.num_seeds=0"), "run.num_seeds=0: must be greater than 0"),
    ],
)
def test_each_mistake_is_one_line_and_code_2(capsys, monkeypatch, tmp_path, command, said):
    monkeypatch.chdir(tmp_path)
    assert mistake(capsys, *command).startswith(said)


def test_a_run_that_cannot_go_on_as_asked(capsys, calls, run_dir):
    said = mistake(capsys, "train", f"run.dir={run_dir}", "run.num_seeds=2")
    assert "run.num_seeds: 1 -> 2" in said
    assert "system.gamma: 0.99 -> 0.9" in mistake(capsys, "resume", str(run_dir), "system.gamma=0.9")
    assert "-> 400000" in mistake(capsys, "resume", str(run_dir), "run.total_env_steps=400000")
    for place in (f"run.dir={run_dir}", "run.name=other"):
        assert mistake(capsys, "resume", str(run_dir), place).startswith(place[:40])
    assert "num_agents 8, not 3" in mistake(capsys, "evaluate", str(run_dir), "env.scenario=8m")
    assert "not a run directory" in mistake(capsys, "resume", str(run_dir.parent / "run" / ".."))
    for damage in ("run: [", f"run: {{num_seeds: {'1' * 5000}}}"):
        (run_dir / "config.yaml").write_text(damage)
        assert "config.yaml: not valid YAML" in mistake(capsys, "resume", str(run_dir))
    assert calls == []


def test_work_gets_checked_input_and_its_exit_code_is_ours(capsys, calls, run_dir):
    assert main(["train", "system=vdn", f"run.dir={run_dir.parent / 'new'}"]) == 1
    assert main(["train", f"run.dir={run_dir}", "run.total_env_steps=1e6"]) == 1
    assert main(["resume", str(run_dir), "run.total_env_steps=6e5"]) == 143
    assert main(["evaluate", str(run_dir), "--checkpoint", "best", "env.max_steps=50"]) == 0
    new, longer, resumed, evaluated = calls
    assert new[:1] + new[2:] == ("train", {"console": True, "film": film_best}) and new[1].system.name == "vdn"
    assert longer[1].run.total_env_steps == 1_000_000
    assert resumed == ("resume", run_dir, ["run.total_env_steps=6e5"], {"console": True, "film": film_best})
    assert evaluated[:4] == ("evaluate", run_dir, ["env.max_steps=50"], "best")
    assert [line.split() for line in capsys.readouterr().out.splitlines()[-3:]] == [
        ["win", "rate", "0.500", "0.750", "-", "0.625"],
        ["return", "mean", "1.250", "1.250", "1.250", "1.250"],
        ["episodes", "1,024", "1,024", "1,024", "1,024"],
    ]


def without(monkeypatch, *packages):
    """Lets packages look as if they were not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in packages else find(name))


def test_what_is_not_installed_is_told_before_anything_is_written(capsys, calls, monkeypatch, tmp_path, run_dir):
    monkeypatch.chdir(tmp_path)
    without(monkeypatch, "wandb", "tensorboardX", "smac")
    assert "pip install 'limae-jax[wandb]'" in mistake(capsys, "train", "metrics.wandb=true")
    assert "metrics.tensorboard=true: needs tensorb" in mistake(capsys, "train", "metrics.tensorboard=true")
    (run_dir / "config.yaml").write_text(to_yaml(TrainConfig(metrics=MetricsConfig(wandb=True))))
    assert "metrics.wandb=true: needs wandb" in mistake(capsys, "resume", str(run_dir))
    # In a sweep too, whichever cell needs it; its plan can be looked at all the same.
    assert "metrics.wandb=true" in mistake(capsys, "sweep", "metrics.wandb=false,true")
    in_smac = ("sweep", "env=smax,smac", "env.scenario=3m")
    assert "the package smac is missing" in mistake(capsys, *in_smac)
    assert calls == [] and list(tmp_path.iterdir()) == [run_dir]
    assert main([*in_smac, "--dry-run"]) == 0 and main([*in_smac, "sweep.cluster=slurm"]) == 0
    # What changes no result can be left behind where it is missing.
    assert main(["resume", str(run_dir), "metrics.wandb=false"]) == 143
    assert [call[0] for call in calls] == ["plan", "sweep", "resume"]


def test_names_are_shown_as_they_are(capsys):
    print_evaluation([{"seed": 0, "checkpoint": "[/job:x]", "test_win_rate": 0.5}])
    assert "checkpoint [/job:x]" in capsys.readouterr().out


@pytest.mark.parametrize("before", [True, False])
def test_overrides_may_stand_on_either_side_of_an_option(calls, run_dir, before):
    override, option = ["env.max_steps=50"], ["--checkpoint", "best"]
    command = ["evaluate", str(run_dir), *(override + option if before else option + override)]
    assert main(command) == 0
    assert calls[0][2:4] == (override, "best")


def test_interruption_leaves_no_traceback(capsys, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules["limae_jax.cli.main"].COMMANDS, "list", interrupted)
    assert main(["list", "systems"]) == 130
    assert capsys.readouterr().err == "limae-jax: interrupted\n"


@pytest.mark.parametrize("command", [["config"], ["list", "scenarios"]])
def test_a_reader_that_leaves_causes_no_traceback(command):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run_python("-m", "limae_jax", *command, stdout=writer)
    finally:
        os.close(writer)
    assert done.returncode == 1 and done.stderr == b""


def test_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = run_python("-m", "limae_jax", "config", stdout=full)
    said = b"limae-jax: error: No space left on device; free some space, then give the same command again\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_what_the_system_refuses_is_one_line_and_other_errors_are_not_hidden(capsys, monkeypatch):
    raised = []

    def fail(args):
        raise raised[-1]

    monkeypatch.setitem(sys.modules["limae_jax.cli.main"].COMMANDS, "train", fail)
    raised.append(PermissionError(errno.EACCES, "Permission denied", Path("runs/a")))
    assert main(["train"]) == 1
    fix = "see to that, then give the same command again, which goes on from what is saved"
    assert capsys.readouterr() == ("", f"limae-jax: error: runs/a: Permission denied; {fix}\n")
    raised.append(OSError("no\nway"))
    assert main(["train"]) == 1
    assert capsys.readouterr().err.startswith("limae-jax: error: no way; see to that")
    raised.append(ValueError("a mistake in the program"))
    with pytest.raises(ValueError, match="mistake in the program"):
        main(["train"])


def test_config_prints_what_would_run(capsys):
    assert main(["config", "experiment=iql_3m", "run.num_seeds=2"]) == 0
    assert from_yaml(capsys.readouterr().out) == load_config(["experiment=iql_3m", "run.num_seeds=2"])


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("scenarios", [*SMAX_SCENARIOS, *MPE_SCENARIOS, *MATRIX_SCENARIOS]),
        ("systems", [*SYSTEMS]),
        ("masking", [*RULES]),
        ("experiments", options("experiment")),
    ],
)
def test_lists_are_complete(capsys, what, names):
    assert main(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines if line.strip()} >= set(names)


def test_experiments_are_listed_as_they_would_be_composed(capsys):
    """The list reads their files by itself, which is quick."""
    main(["list", "experiments"])
    lines = capsys.readouterr().out.splitlines()
    for name in options("experiment"):
        config, sweep = load_cell([f"experiment={name}"]), experiment_sweep(f"experiment={name}")
        cells = math.prod(len(axis) for axis in sweep.get("axes", ()))
        what = f"sweep {cells} cells" if sweep else f"{config.system.name} {config.env.scenario}"
        line = next(line for line in lines if line.startswith(f"{name} "))
        assert " ".join(line.split()).endswith(f"{what} {config.run.num_seeds} {config.run.total_env_steps:,}")


def test_scenarios_are_listed_with_their_sizes(capsys):
    main(["list", "scenarios"])
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("3s_vs_5z"))
    cells = re.split(r"\s{2,}", row.strip())
    assert cells[:8] == ["3s_vs_5z", "3 stalkers", "5 zealots", "3", "101", "96", "10", "100"]
    # (64 steps and the last slot) x (floats, flags, actions and reward) and the carry of 3 agents.
    assert cells[8] == f"{65 * ((3 * 101 + 96) * 4 + (3 * 10 + 3 + 4) + (3 + 1) * 4) + 3 * (64 + 1) * 4:,}"


def test_masking_rules_are_listed_with_what_they_read(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "WIDTH_OF_A_FILE", 400)
    main(["list", "masking"])
    header, *lines = capsys.readouterr().out.splitlines()
    starts = [header.index(title) for title in ("rule", "hidden", "settings", "granularity", "use")] + [len(header)]
    rows: dict[str, list[str]] = {}
    for line in lines[: next(index for index, line in enumerate(lines) if not line.strip())]:
        cells = [line[begin:end].strip() for begin, end in itertools.pairwise(starts)]
        name = cells[0] or list(rows)[-1]
        rows[name] = [f"{a} {b}".strip() for a, b in zip(rows.get(name, [""] * 4), cells[1:], strict=True)]
    assert list(rows) == list(RULES)
    for name, (formula, settings, granularity, use) in rows.items():
        rule = RULES[name]
        assert formula == rule.formula
        shared = ("name", "granularity", *(() if name == "random" else ("probability",)))
        own = [item for item in dataclasses.fields(MASKING_CONFIGS[name]) if item.name not in shared]
        assert settings.split() == [f"masking.{item.name}={item.default}" for item in own]
        assert granularity == ", ".join(rule.granularities)
        assert use == ("control" if rule.is_control else "training")


@pytest.mark.parametrize("command", [["--help"], ["train", "--help"], ["evaluate", "--help"]])
def test_help_shows_an_example(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "example" in out and f"limae-jax {command[0].removeprefix('--help')}" in out


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert (stopped.value.code, capsys.readouterr().out) == (0, f"limae-jax {limae_jax.__version__}\n")


def test_configs_are_found_from_any_folder(tmp_path):
    done = run_python("-m", "limae_jax", "config", "experiment=quickstart", cwd=tmp_path, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert from_yaml(done.stdout.decode()) == load_config(["experiment=quickstart"])
