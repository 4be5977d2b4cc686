"""What README and docs/ consist of: code blocks, inline code, links and headings; and which commands a block gives."""

import fnmatch
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

# Pattern of a command -> why it is read and not run.
NOT_RUN = {
    "limae-jax doctor smac": "launches StarCraft II",
    "limae-jax train experiment=smac_*": "plays StarCraft II",
    "limae-jax train env=smac *": "plays StarCraft II",
    "limae-jax resume runs/smac_*": "plays StarCraft II",
    "limae-jax evaluate *runs/smac_*": "plays StarCraft II",
    "limae-jax evaluate *env=smac *": "plays StarCraft II",
    "limae-jax train env=pettingzoo *": "needs the extra `pettingzoo`",
    "limae-jax train env=gymnasium *": "needs the extra `gymnasium`",
    "limae-jax evaluate runs/qmix_mpe2*": "needs the extra `pettingzoo`",
    "limae-jax sweep experiment=study_*": "has more cells than a test can train",
    "limae-jax report runs/study *": "reads the runs of the study",
    "limae-jax render *": "draws SMAX, and these runs play a made-up game; see tests/analysis/test_battle.py",
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
RUN_ELSEWHERE = {"README.md": "tests/evaluation/test_play.py"}

# Programs that a block may name; each is replaced by a script that only notes what it was called with.
_PROGRAMS = ("limae-jax", "python", "python3", "pip", "pytest", "ruff", "mypy", "mkdocs")
_NOTE = '#!/bin/bash\n{ printf \'%s\\0\' "$0" "$@"; printf \'\\1\'; } >> "$NOTES"\n'
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A code block.

    Attributes:
        language: as written behind the backquotes.
        text: its lines.
    """

    language: str
    text: str


def blocks(document: Path) -> list[Block]:
    """The code blocks of a document, in order."""
    return [Block(*match.groups()) for match in _BLOCK.finditer(document.read_text(encoding="utf-8"))]


def prose(document: Path) -> str:
    """A document without its code blocks."""
    return _BLOCK.sub("", document.read_text(encoding="utf-8"))


def name_of(document: Path) -> str:
    """As in the repository."""
    return document.relative_to(ROOT).as_posix()


def inline_code(document: Path) -> list[str]:
    """What stands between single backquotes, each on one line."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(document))]


def links(document: Path) -> list[str]:
    """Targets of links and pictures that are no addresses."""
    text = re.sub(r"`[^`]*`", "", prose(document))
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]


def anchors(document: Path) -> set[str]:
    """Headings as GitHub and the site name them in links."""
    headings = re.findall(r"^#+ +(.*)$", prose(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(script: str, folder: Path) -> list[list[str]]:
    """What a bash block calls, as argument lists: bash reads it, but nothing in it is carried out.

    Args:
        script: the block; its loops, quotes and comments are bash's to read.
        folder: an empty one, to run bash in. Patterns such as `runs/*` stay as they are.

    Raises:
        AssertionError: a program that is not known here, or a mistake in the script.
    """
    for name in (*_PROGRAMS, ".venv/bin/pip", ".venv/bin/pytest", ".venv/bin/limae-jax", ".ci/run"):
        path = folder / name if "/" in name else folder / "programs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_NOTE)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (folder / ".venv/bin/activate").touch()
    notes = folder / "notes"
    notes.touch()
    variables = {"PATH": str(folder / "programs"), "NOTES": str(notes), "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["/bin/bash", "-euc", script], cwd=folder, env=variables, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, f"{script}\n{done.stderr}"
    called = [note.split("\0")[:-1] for note in notes.read_text(encoding="utf-8").split("\1")[:-1]]
    return [[_plain(name, folder), *arguments] for name, *arguments in called]


def is_run(command: list[str]) -> bool:
    """Whether a test runs a command of a document, rather than only reading it."""
    return not any(fnmatch.fnmatchcase(" ".join(command), pattern) for pattern in NOT_RUN)


def _plain(program: str, folder: Path) -> str:
    """`pip`, whether from PATH or from the environment that README makes."""
    name = os.path.relpath(program, folder / "programs") if os.path.isabs(program) else program
    return name.removeprefix(".venv/bin/")
