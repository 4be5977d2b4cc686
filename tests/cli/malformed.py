"""`python malformed.py COUNT` gives malformed command lines and prints what is wrong with the answers.

It is a process of its own, so that an import of jax shows. Work that a command would begin is left out.
"""

import contextlib
import io
import os
import random
import sys
import tempfile
import traceback
from pathlib import Path
from types import ModuleType, SimpleNamespace

from limae_jax.cli import doctor
from limae_jax.cli.main import main
from limae_jax.config import RunConfig, TrainConfig
from limae_jax.config.sections import ChosenNames, dotted_names
from limae_jax.config.text import to_yaml

NAMES = dotted_names(ChosenNames())
NUMBERS = ["0", "-1", "1e9", "2147483648", "9" * 400, "9" * 5000, "nan", "inf", "-inf", "1e400", "0x10", "1e-400", "१"]
OTHER_TYPES = ["[1]", "[]", "{}", "{a:1}", "true", "maybe", "null", "", " ", "???", "1,2", "500k", "[1,[2]]", "None"]
NESTED = ["[" * 9, "[" * 5000, "[" * 30 + "]" * 30, "{a:" * 20 + "1" + "}" * 20, "{a:" * 99 + "}" * 99, "(" * 40]
NESTED += ["sort(" * 300 + ")" * 300, "${" * 50 + "}" * 50, "['" * 20, "]" * 7, "}{"]
QUOTES = ["'", '"', "'a", 'a"', "\\'", '"a\\"', "''a", "'\"'\"", "\\", "\\\\\\", "`a`", "'a' 'b'"]
RANGES = ["range(0,nan)", "range(0,inf,1)", "range(1,3000000)", "range(1,2,0)", "range(5,1)", "range()", "choice()"]
RANGES += [
    "choice(choice(1,2),3)",
    "glob(*)",
    "interval(0,1)",
    "range(0,1,1e-9)",
    "shuffle()",
    "tag(a,b)",
    "range(a,b)",
]
RANGES += [f"range(0,{'9' * 400})", "float(a)", "json_str({)", "sort(1,a)"]
RESOLVED = [
    "${",
    "${}",
    "${run.name}",
    "${nothing}",
    "${oc.env:NOT_THERE}",
    "${oc.decode:'['}",
    "$x",
    "${run:}",
    "'${'",
]
CONTROL = ["\x1b[31m", "a\x00b", "a\nb", "\r", "\x07", "\x7f", "\x85", "\u2028", "a\tb", "\x9b2J"]
UNICODE = ["é", "🙂" * 70, "\u202etxet", "\u0301" * 40, "\udcff", "\ud800", "\ufeff", "ß" * 300, "名前"]
LONG = ["a" * 256, "a" * 5000, "a/" * 2500, "a b " * 1500, "[" + "1," * 3000 + "1]"]
VALUES = NUMBERS + OTHER_TYPES + NESTED + QUOTES + RANGES + RESOLVED + CONTROL + UNICODE + LONG
PATHS = [
    "nowhere",
    "",
    ".",
    "/dev/null",
    "file",
    "file/x",
    "loop",
    "loop/x",
    "~nobody_here/x",
    "notes",
    "run/config.yaml",
]
PATHS += CONTROL + UNICODE + LONG
OPTIONS = ["--foo", "--checkpoint", "--checkpoint=first", "--seed=1e9", "--seed=" + "9" * 5000, "--agent=-1", "--out"]
OPTIONS += [
    "-x",
    "--coordinator=x",
    "--num-processes=2",
    "--process-id=zero",
    "--dry-run=1",
    "--help=3",
    "---",
    "-\x1b[31m",
]
COMMANDS = ["train", "sweep", "config", "evaluate", "resume", "report", "render", "list", "doctor", "export", "prune"]


def mangled(word: str, rng: random.Random) -> str:
    """The word with a mistake in it."""
    place = rng.randrange(len(word))
    ways = [word[:place] + word[place + 1 :], word[:place] + rng.choice("._ =@+~:/\x1bé") + word[place:], word.upper()]
    return rng.choice([*ways, word + "." + word, word.partition(".")[2], rng.choice(CONTROL + UNICODE + LONG)])


def overrides(rng: random.Random) -> list[str]:
    """One override with something odd about it, perhaps among others."""
    name, value = rng.choice(NAMES), rng.choice(VALUES)
    group = rng.choice(["system", "env", "masking", "experiment", "sweep.dir", "sweep.axes", "sweep.cluster_options"])
    odd = rng.choice(
        [
            f"{name}={value}",
            f"{name}={rng.choice([*NUMBERS, *OTHER_TYPES])}",
            f"{rng.choice(['run.dir', 'run.name', 'sweep.dir'])}={rng.choice(PATHS)}",
            f"{mangled(name, rng)}=1",
            f"{group}={value}",
            f"{rng.choice(['+', '++', '~', '@', ' ', '-'])}{name}=1",
            rng.choice([name, value, f"={value}", f"{name}=={value}", f"{name}:{value}"]),
        ]
    )
    others = ["run.num_seeds=2", "system=vdn", "env.scenario=8m"]
    return [*rng.sample(others, rng.randrange(3)), odd]


def command_line(rng: random.Random) -> list[str]:
    """A command, and what it is given."""
    command, path = rng.choice(COMMANDS), rng.choice(PATHS)
    given = {
        "train": overrides,
        "sweep": overrides,
        "config": overrides,
        "evaluate": lambda rng: [rng.choice(["run", path]), *overrides(rng)],
        "resume": lambda rng: [rng.choice(["run", path]), *overrides(rng)],
        "report": lambda rng: [path, rng.choice(["run", path]), "--out", rng.choice(PATHS)],
        "render": lambda rng: [rng.choice(["run", path]), "--agent", rng.choice(NUMBERS), "--out", rng.choice(PATHS)],
        "list": lambda rng: [rng.choice(VALUES)],
        "doctor": lambda rng: [rng.choice(VALUES)],
        "export": lambda rng: [rng.choice(["run", path]), "--seed", rng.choice(NUMBERS), "--out", rng.choice(PATHS)],
        "prune": lambda rng: [path, rng.choice(["run", path])],
    }[command](rng)
    if rng.random() < 0.1:
        command = mangled(command, rng)
    if rng.random() < 0.15:
        given.insert(rng.randrange(len(given) + 1), rng.choice(OPTIONS))
    return [command, *given]


def leave_out_work() -> None:
    """Commands that turn out to be in order end where their work would begin."""

    def done(*args, **kwargs):
        return SimpleNamespace(exit_code=0)

    for name in ("runner", "sweep", "evaluate", "smac_evaluation", "policy", "prune"):
        module = ModuleType(f"limae_jax.training.{name}")
        for function in ("train", "resume", "run_sweep", "show_plan"):
            setattr(module, function, done)
        module.evaluate_run = lambda *args: [{"seed": 0, "test_win_rate": 0.5}]
        module.evaluate_in_smac = lambda *args: []
        module.export_policy = lambda *args: "team.safetensors"
        module.prune_runs = lambda *args: [SimpleNamespace(place="run", reason="", freed=0, left=0)]
        sys.modules[module.__name__] = module
    doctor.examine = doctor.examine_smac = list


def contents() -> dict[str, tuple[int, int]]:
    """Everything in the working directory, with its size and time."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in Path().rglob("*")}


def complaints(command: list[str]) -> list[str]:
    """What is wrong with the answer to a command line."""
    before = contents()
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(command)
    except SystemExit as stop:  # --help and --version
        code = stop.code
    except BaseException:
        return [f"traceback: {traceback.format_exc()[-600:]}"]
    lines = err.getvalue().splitlines()
    found = []
    if code not in (0, 2) and "then give the same command again" not in err.getvalue():
        found.append(f"exit code {code}")
    if (code == 0) != (not lines) or len(lines) > 3:
        found.append(f"exit code {code} with {len(lines)} lines: {lines[:3]}")
    if any(len(line) > 300 or not line.isprintable() for line in lines):
        found.append(f"a line that is too long, or no line for a terminal: {lines}")
    if code == 2 and out.getvalue():
        found.append("printed something before it refused")
    if contents() != before:
        found.append(f"wrote {contents().keys() ^ before.keys()}")
    if heavy := {"jax", "jaxlib", "jaxmarl", "flax"} & sys.modules.keys():
        found.append(f"imported {heavy}")
    return found


def check(count: int, seed: int) -> int:
    """Gives `count` command lines in a directory with a run and some traps; prints what is wrong, returns how often."""
    leave_out_work()
    rng, wrong = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("run").mkdir()
        Path("run/config.yaml").write_text(to_yaml(TrainConfig(run=RunConfig(dir="run"))))
        Path("notes").mkdir()
        Path("notes/notes.txt").write_text("mine")
        Path("file").write_text("")
        os.symlink("loop", "loop")
        for index in range(count):
            command = command_line(rng)
            for complaint in complaints(command):
                wrong += 1
                print(index, [ascii(word)[:90] for word in command], complaint)
    return wrong


if __name__ == "__main__":
    sys.exit(min(check(int(sys.argv[1]), seed=20_251), 100))
