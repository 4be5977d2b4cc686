"""README and docs/: every link leads somewhere, every command and snippet works, with budgets of a test.

A document's commands run one after the other in a folder of their own, as a reader would give them. Those that cannot
run here are named in NOT_RUN, and are only read; a command that is neither fails.
"""

import argparse
import fnmatch
import importlib
import pkgutil
import re
import runpy
import shlex
import sys
import tomllib
from dataclasses import fields
from glob import glob

import pytest
from documents import DOCUMENTS, ROOT, anchors, blocks, commands, inline_code, links, prose
from fakes import CountingEnv
from tests_tiny import TINY

import limae_jax
from limae_jax import environments
from limae_jax.cli import main
from limae_jax.cli_arguments import parse
from limae_jax.compose import load_config
from limae_jax.config import ENV_CONFIGS, TrainConfig
from limae_jax.grid import load_sweep
from limae_jax.sweep_config import SweepConfig
from limae_jax.systems.names import CONTEXT_SYSTEMS, unread_of_the_mixer

# Pattern of a command -> why it is read and not run.
NOT_RUN = {
    "limae-jax doctor smac": "launches StarCraft II",
    "limae-jax train experiment=smac_*": "plays StarCraft II",
    "limae-jax train env=smac *": "plays StarCraft II",
    "limae-jax resume runs/smac_*": "plays StarCraft II",
    "limae-jax evaluate *runs/smac_*": "plays StarCraft II",
    "limae-jax evaluate *env=smac *": "plays StarCraft II",
    "limae-jax sweep experiment=study_*": "has more cells than a test can train",
    "limae-jax report runs/study *": "reads the runs of the study",
    "limae-jax render *": "draws battles of SMAX, and these runs play a made-up game; see tests/analysis/test_battle.py",
    "limae-jax doctor": "depends on the machine",
    "python benchmarks/*": "measures, for minutes",
    "python* -m venv .venv": "makes an environment",
    "pip install *": "installs",
    "pytest*": "is what runs this",
    "ruff *": "a check of its own",
    "mypy": "a check of its own",
    "mkdocs *": "needs the extra `docs`",
    ".ci/run": "runs this",
}
# Snippets that another test runs, with settings of its own.
RUN_ELSEWHERE = {"README.md": "tests/training/test_play.py"}

LENGTH = 3000
SMALL = [
    *(override for override in TINY if not override.startswith(("env.scenario", "run.total", "evaluation.every"))),
    f"run.total_env_steps={LENGTH}",
    "evaluation.every_env_steps=2000",
    "run.num_seeds=1",
]
SMALL_MAE = ["mae.width=4", "mae.num_heads=2", "mae.window=2", "mae.pretrain_env_steps=500"]
SMALL_GUESSES = ["mae.encoder_layers=1"]


def name_of(document):
    return str(document.relative_to(ROOT))


every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=name_of)
def test_links_lead_somewhere(document):
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{link}: no such file"
        assert target.is_relative_to(ROOT), f"{link}: outside the repository"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_of_the_site_is_in_its_contents():
    contents = re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(contents) == sorted(str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md"))


@every_document
def test_what_the_reference_describes_is_there(document):
    for name in re.findall(r"^::: (\S+)$", prose(document), flags=re.MULTILINE):
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError:
            module, _, item = name.rpartition(".")
            found = getattr(importlib.import_module(module), item)
        assert found.__doc__, name


@every_document
def test_settings_named_in_the_text_exist(document):
    sections = {item.name for item in fields(TrainConfig)} - {"env"}
    known = {f"{section}.{item.name}" for section in sections for item in fields(getattr(TrainConfig(), section))}
    known |= {f"env.{item.name}" for config in ENV_CONFIGS.values() for item in fields(config)}
    known |= {f"sweep.{item.name}" for item in fields(SweepConfig)}
    name = re.compile(rf"(?<![\w./-])({'|'.join([*sections, 'env', 'sweep'])})\.(\w+)(?![\w./(])")
    for code in inline_code(document):
        for section, item in name.findall(code):
            assert f"{section}.{item}" in known, code


@every_document
def test_commands_in_the_text_can_be_read(document):
    for code in inline_code(document):
        words = shlex.split(code) if code.startswith("limae-jax ") and "COMMAND" not in code else []
        if words:
            read(words if len(words) > 2 else [*words, "--help"])


@pytest.mark.slow
@every_document
def test_the_commands_work_in_their_order(document, tmp_path, monkeypatch, made_up_game, capsys):
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    for index, block in enumerate(blocks(document)):
        if block.language == "bash":
            folder = tmp_path / f"block{index}"
            folder.mkdir()
            for command in commands(block.text, folder):
                work(command, capsys)
        elif block.language == "python" and name_of(document) not in RUN_ELSEWHERE:
            exec(block.text, {})


def test_no_command_is_left_out_in_vain(tmp_path):
    called = []
    for index, block in enumerate(block for document in DOCUMENTS for block in blocks(document)):
        folder = tmp_path / str(index)
        folder.mkdir()
        called += commands(block.text, folder) if block.language == "bash" else []
    for pattern in NOT_RUN:
        assert any(fnmatch.fnmatchcase(" ".join(command), pattern) for command in called), pattern


@pytest.fixture
def made_up_game(monkeypatch):
    """Whatever plays, plays a made-up game that compiles at once; it has the scenario's name only."""
    for module in pkgutil.walk_packages(limae_jax.__path__, "limae_jax."):
        if module.name != "limae_jax.__main__":
            try_import(module.name)
    real = environments.make_env
    for name, module in list(sys.modules.items()):
        if name.startswith("limae_jax") and vars(module).get("make_env") is real:
            monkeypatch.setattr(module, "make_env", lambda config: CountingEnv())


def try_import(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:  # an extra that is not installed
        assert not str(error.name).startswith("limae_jax"), name


def work(command, capsys):
    """Runs a command of the package with the budget of a test; of others only reads what can be read."""
    if any(fnmatch.fnmatchcase(" ".join(command), pattern) for pattern in NOT_RUN):
        read(command)
        return
    assert command[0] == "limae-jax", f"{' '.join(command)}: neither run nor in NOT_RUN"
    arguments = [word for given in command[1:] for word in sorted(glob(given)) or [given]]
    code = main(reduced(arguments))
    assert code == 0, f"{' '.join(command)}: exit code {code}\n{capsys.readouterr().err}"


def reduced(arguments):
    """The same command with settings of a test behind those that it has."""
    what, *rest = arguments
    if what in ("train", "sweep"):
        configs = [load_config(rest)] if what == "train" else [cell.config for cell in load_sweep(rest).cells]
        return [what, *rest, *small_settings(configs)]
    if what == "evaluate":
        return [what, *rest, "evaluation.num_episodes=4"]
    if what == "resume":
        return [what, *(re.sub(r"(total_env_steps)=.*", rf"\1={2 * LENGTH}", word) for word in rest)]
    return arguments


def small_settings(configs):
    """Settings that every one of these learners reads."""
    systems = {config.system.name: config.system.mixer for config in configs}
    unread = [name for system, mixer in systems.items() for name in unread_of_the_mixer(system, mixer)]
    settings = [override for override in SMALL if override.partition("=")[0] not in unread]
    if all(system in CONTEXT_SYSTEMS for system in systems):
        settings += SMALL_MAE if "oracle" in systems else SMALL_MAE + SMALL_GUESSES
    return settings


def read(command):
    """Checks a command that is not run, as far as it can be read."""
    program, *arguments = command
    if program == "limae-jax":
        read_ours(arguments)
    elif program == "python" and arguments[0].startswith("benchmarks/"):
        read_benchmark(arguments)
    elif program == "pip":
        read_extras(arguments)


def read_ours(arguments):
    if "--help" in arguments or "--version" in arguments:
        with pytest.raises(SystemExit, match="0"):
            parse(arguments)
        return
    args = parse(arguments)
    settings = [word for word in getattr(args, "overrides", []) if word != "..."]
    if args.command == "sweep":
        assert load_sweep(settings).cells
    elif args.command in ("train", "config"):
        load_config(settings)
    elif args.command == "evaluate":
        load_config([word for word in args.run_dirs + settings if "=" in word])


class IsReadError(Exception):
    """The arguments of a benchmark have been read."""


def read_benchmark(arguments):
    script = ROOT / arguments[0]
    real = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser, *given, **named):
        args = real(parser, *given, **named)
        load_config(getattr(args, "overrides", []))
        raise IsReadError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(script), *arguments[1:]])
        patch.syspath_prepend(script.parent)
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        with pytest.raises(IsReadError):
            runpy.run_path(str(script), run_name="__main__")


def read_extras(arguments):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for word in arguments:
        if word.startswith("."):
            asked = re.search(r"\[(.*)\]", word)
            assert not asked or set(asked[1].split(",")) <= set(extras), word
