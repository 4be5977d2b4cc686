"""Compares the XLA programs of the six systems between two versions of this package.

python benchmarks/compare_programs.py v1.0 HEAD
python benchmarks/compare_programs.py HEAD --working-tree

Each version trains every system for a few chunks, with all of its phases, in its own worktree. The optimised HLO of
all programs with more than 200 instructions is compared as text, without metadata and with names replaced by numbers
in order of appearance. For a program that differs, instructions that only one version has are counted. The exit code is
1 if a program differs, and the texts are kept for `diff`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

SYSTEMS = ("iql", "vdn", "qmix", "ma2e", "li_ma2e", "oracle")
# Renamed settings list all their names; each version uses the name that it knows.
SETTINGS = (
    "env.scenario=3m",
    "env.num_envs=4",
    "replay.row_length=16",
    "replay.capacity_rows=64",
    "replay.batch_rows=4",
    "replay.min_rows=8",
    "evaluation.num_episodes=8",
    "evaluation.every_time_steps|every_env_steps=2000",
    "system.updates_per_iteration=2",
    "system.hidden_size=16",
    "run.total_env_steps=9000",
    "run.compilation_cache=false",
)
OF_CONTEXT = ("mae.pretrain_time_steps|pretrain_env_steps=2000",)

# Run in each version: writes the text of every program that jax compiles ahead of time, in order.
DUMP = """
import pathlib, runpy, sys
import jax
folder, compile_program = pathlib.Path(sys.argv[1]), jax.stages.Lowered.compile
def compile_and_write(lowered, *args, **kwargs):
    compiled = compile_program(lowered, *args, **kwargs)
    (folder / f"{len(list(folder.iterdir())):02d}.hlo").write_text(compiled.as_text())
    return compiled
jax.stages.Lowered.compile = compile_and_write
sys.argv = ["limae-jax", *sys.argv[2:]]
runpy.run_module("limae_jax", run_name="__main__")
"""

_METADATA = re.compile(r", metadata=\{[^}]*\}")
_NAME = re.compile(r"%[\w.\-]+")
# Numbers that move when an argument is added: of a name, of a parameter and of an element of a tuple.
_NUMBER = re.compile(r"%\d+|(?<=parameter)\(\d+\)|(?<=index=)\d+")


def canonical(text: str) -> list[str]:
    """Returns the instructions of an HLO module with numbers for names, without metadata, header and source table."""
    begin = min((match.start() for match in re.finditer(r"^(%|ENTRY)", text, re.MULTILINE)), default=0)
    numbers: dict[str, str] = {}
    body = _METADATA.sub("", text[begin:])
    body = _NAME.sub(lambda name: numbers.setdefault(name[0], f"%{len(numbers)}"), body)
    # In the head of a computation, names of parameters have no % prefix.
    return [re.sub(r"\b[\w.\-]+: ", "", line.rstrip()) for line in body.splitlines() if line.strip()]


def only_in_one(before: Sequence[str], after: Sequence[str]) -> tuple[int, int]:
    """Counts the instructions that only one of two programs has, wherever they are and whatever their names."""
    kinds = [Counter(_NUMBER.sub("", line).strip() for line in lines) for lines in (before, after)]
    return (kinds[0] - kinds[1]).total(), (kinds[1] - kinds[0]).total()


def spelled(setting: str, known: str) -> str:
    """Returns the setting with the one of its names that a version's `limae-jax config` prints."""
    names, _, value = setting.partition("=")
    section, _, fields = names.partition(".")
    field = next((field for field in fields.split("|") if re.search(rf"^  {field}:", known, re.MULTILINE)), fields)
    return f"{section}.{field}={value}"


def programs(root: Path, system: str, folder: Path) -> list[list[str]]:
    """Returns the large programs of a system in the version at `root`, in order of compilation."""
    environment = {**os.environ, "PYTHONPATH": str(root), "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu")}
    asked = [*SETTINGS, *(OF_CONTEXT if system in ("ma2e", "li_ma2e", "oracle") else ())]
    command = [sys.executable, "-m", "limae_jax", "config", f"system={system}"]
    known = subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True, text=True).stdout
    texts = folder / "texts"
    texts.mkdir(parents=True)
    overrides = [f"system={system}", *(spelled(setting, known) for setting in asked)]
    train = [sys.executable, "-c", DUMP, str(texts), "train", *overrides, f"run.dir={folder}/run"]
    subprocess.run(train, env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    found = [canonical(path.read_text()) for path in sorted(texts.iterdir())]
    return [lines for lines in found if len(lines) > 200]


@contextlib.contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """Yields a temporary worktree of the commit."""
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(folder)], check=True)


def compare(roots: Sequence[Path], system: str, folder: Path) -> bool:
    """Whether both versions compile the same programs of a system; prints a line."""
    both = []
    for index, root in enumerate(roots):
        place = folder / f"{system}_{index}"
        place.mkdir(parents=True)
        both.append(programs(root, system, place))
        for number, lines in enumerate(both[-1]):
            (folder / f"{system}_{number:02d}_{'ab'[index]}.txt").write_text("\n".join(lines))
    first, second = both
    differ = [number for number, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]]
    is_equal = not differ and len(first) == len(second)
    sizes = ", ".join(str(len(lines)) for lines in second)
    verdict = "equal" if is_equal else f"{len(first)} against {len(second)}, programs {differ} differ"
    print(f"{system:8} {verdict}; instructions: {sizes}", flush=True)
    for number in differ:
        lost, new = only_in_one(first[number], second[number])
        print(f"{'':8} program {number}: {lost} instructions only before, {new} only after", flush=True)
    return is_equal


def main(argv: Sequence[str] | None = None) -> int:
    """Compares the programs, prints the differences, and returns the exit code: 0 if there are none."""
    parser = argparse.ArgumentParser(description="Compares the programs of two versions.")
    parser.add_argument("before", help="a commit")
    parser.add_argument("after", nargs="?", default="HEAD", help="another commit")
    parser.add_argument("--working-tree", action="store_true", help="compare with the current files")
    parser.add_argument("--system", nargs="+", default=SYSTEMS, help="only these systems")
    arguments = parser.parse_args(argv)
    texts = Path(tempfile.mkdtemp(prefix="programs_"))
    with contextlib.ExitStack() as stack:
        before = stack.enter_context(checked_out(arguments.before, texts / "before"))
        now = Path(__file__).resolve().parents[1]
        after = now if arguments.working_tree else stack.enter_context(checked_out(arguments.after, texts / "after"))
        equal = [compare((before, after), system, texts / "programs") for system in arguments.system]
    print(f"texts in {texts / 'programs'}")
    return 0 if all(equal) else 1


if __name__ == "__main__":
    raise SystemExit(main())
