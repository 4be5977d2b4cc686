"""README and docs/: links lead somewhere, names exist, and commands can be read.

`training/test_document_commands.py` runs the commands. A command that is neither run there nor named in NOT_RUN fails.
"""

import argparse
import fnmatch
import importlib
import re
import runpy
import shlex
import sys
import tempfile
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from documents import DOCUMENTS, NOT_RUN, ROOT, anchors, blocks, commands, inline_code, is_run, links, name_of, prose

from limae_jax.cli.arguments import parse
from limae_jax.config import TrainConfig
from limae_jax.config.compose import load_config
from limae_jax.config.sections import every_class
from limae_jax.config.sweep import SweepConfig
from limae_jax.sweeps.grid import load_sweep

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
    known = {f"{made.section}.{item.name}" for made in every_class() for item in fields(made)}
    known |= {f"sweep.{item.name}" for item in fields(SweepConfig)}
    files = re.compile(r"[\w./]+\.(py|jsonl|yaml)\b")
    name = re.compile(rf"(?<![\w./-])({'|'.join([*sections, 'env', 'sweep'])})\.(\w+)(?![\w./(])")
    for code in inline_code(document):
        for section, item in name.findall(files.sub("", code)):
            assert f"{section}.{item}" in known, code


@every_document
def test_commands_in_the_text_can_be_read(document):
    for code in inline_code(document):
        words = shlex.split(code) if code.startswith("limae-jax ") and "COMMAND" not in code else []
        if words:
            read(words if len(words) > 2 else [*words, "--help"])


@every_document
def test_commands_of_blocks_are_run_or_named(document, tmp_path):
    for command in commands_of(document, tmp_path):
        if not is_run(command):
            read(command)
        else:
            assert command[0] == "limae-jax", f"{' '.join(command)}: neither run nor in NOT_RUN"
            parse(command[1:])


def test_no_command_is_left_out_in_vain(tmp_path):
    called = [command for document in DOCUMENTS for command in commands_of(document, tmp_path)]
    for pattern in NOT_RUN:
        assert any(fnmatch.fnmatchcase(" ".join(command), pattern) for command in called), pattern


def commands_of(document, folder):
    """All that its blocks call."""
    scripts = [block.text for block in blocks(document) if block.language == "bash"]
    return [command for script in scripts for command in commands(script, Path(tempfile.mkdtemp(dir=folder)))]


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
