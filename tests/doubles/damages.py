"""Ways in which a run directory may be damaged, one after the other and always the same."""

import hashlib
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from limae_jax.config.stored_yaml import FORMAT, unseal


class Damage(NamedTuple):
    """What is done to a run directory."""

    name: str
    apply: Callable[[Path], Any]


# A run of two groups. A * stands for the newest of the checkpoints.
GROUP = "checkpoints/seeds_0_to_0"
RECORDS = ("config.yaml", "versions.json", "groups.json", "saved.json", "metrics.jsonl")
MANIFESTS = tuple(f"{GROUP}/{name}/checkpoint_*/manifest.json" for name in ("state", "best", "last"))
ARRAYS = (f"{GROUP}/state/checkpoint_*/small/_METADATA", f"{GROUP}/state/rows_*/ring/_METADATA")
ODD = (None, True, -1, 10**400, 1e308, "text", "\x1b[2J", [], [[[0]]], {}, {"a": None})


def newest(run_dir: Path, pattern: str) -> Path:
    """The file that a pattern means; the name itself if there is none."""
    found = sorted(run_dir.glob(pattern))
    return found[-1] if found else run_dir / pattern


def of_a_file(pattern: str) -> Iterator[Damage]:
    """What may happen to any file."""

    def damage(what: str, change: Callable[[Path, bytes], Any]) -> Damage:
        def apply(run_dir: Path) -> None:
            path = newest(run_dir, pattern)
            change(path, path.read_bytes())

        return Damage(f"{pattern}: {what}", apply)

    def replaced(make: Callable[[Path], Any]) -> Callable[[Path, bytes], None]:
        def change(path: Path, content: bytes) -> None:
            path.unlink()
            make(path)

        return change

    def flipped(share: float) -> Callable[[Path, bytes], None]:
        def change(path: Path, content: bytes) -> None:
            place = int(share * (len(content) - 1))
            path.write_bytes(content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :])

        return change

    yield damage("deleted", replaced(lambda path: None))
    yield damage("a folder", replaced(lambda path: path.mkdir()))
    yield damage("a link to itself", replaced(lambda path: path.symlink_to(path.name)))
    yield damage("a link to nothing", replaced(lambda path: path.symlink_to("nothing")))
    yield damage("empty", lambda path, content: path.write_bytes(b""))
    yield damage("half", lambda path, content: path.write_bytes(content[: len(content) // 2]))
    yield damage("NULs", lambda path, content: path.write_bytes(b"\0" * len(content)))
    yield damage("no UTF-8", lambda path, content: path.write_bytes(content[:9] + b"\xff\xfe\x9b" + content[9:]))
    yield damage("nested deeply", lambda path, content: path.write_bytes(b"[" * 200_000))
    yield damage("a number", lambda path, content: path.write_bytes(b"1" * 5000))
    yield damage("a JSON null", lambda path, content: path.write_bytes(b"null\n"))
    yield damage("a JSON text", lambda path, content: path.write_bytes(b'"text"\n'))
    for share in (0.0, 0.3, 0.7, 1.0):
        yield damage(f"flipped at {share}", flipped(share))


def of_lines(name: str, count: int) -> Iterator[Damage]:
    """A text file cut off at every line, and with lines out of its middle or twice."""

    def damage(what: str, change: Callable[[list[str]], list[str]]) -> Damage:
        def apply(run_dir: Path) -> None:
            lines = (run_dir / name).read_text().splitlines(keepends=True)
            (run_dir / name).write_text("".join(change(lines)))

        return Damage(f"{name}: {what}", apply)

    for number in range(count):
        yield damage(f"cut at line {number}", lambda lines, n=number: lines[:n])
    for number in range(0, count, 4):
        yield damage(f"without line {number}", lambda lines, n=number: lines[:n] + lines[n + 1 :])
        yield damage(f"line {number} twice", lambda lines, n=number: [*lines[: n + 1], *lines[n:]])
        yield damage(f"without lines from {number}", lambda lines, n=number: lines[:n] + lines[n + 6 :])


def of_an_old_config(count: int) -> Iterator[Damage]:
    """The same of a config.yaml that has no checksum, and values of another kind."""

    def damage(what: str, change: Callable[[list[str]], list[str]]) -> Damage:
        def apply(run_dir: Path) -> None:
            lines = unsealed((run_dir / "config.yaml").read_text()).splitlines(keepends=True)
            (run_dir / "config.yaml").write_text("".join(change(lines)))

        return Damage(f"old config.yaml: {what}", apply)

    for number in range(0, count, 2):
        yield damage(f"cut at line {number}", lambda lines, n=number: lines[:n])
        yield damage(f"without line {number}", lambda lines, n=number: lines[:n] + lines[n + 1 :])
    for number in range(1, count, 5):
        yield damage(f"line {number} twice", lambda lines, n=number: [*lines[: n + 1], *lines[n:]])
    values = ("{a: 1}", "[[[[[[[[1]]]]]]]]", "*x", "&x 1", "!!int ''", "${oc.env:HOME}", "2026-99-99", "1" * 5000)
    for number, value in enumerate(values * 2):
        setting = ("run.num_seeds", "system.gamma", "env.scenario", "metrics.wandb_project")[(number + number // 8) % 4]
        key = setting.partition(".")[2]
        yield damage(
            f"{setting} is {value[:20]}",
            lambda lines, k=key, v=value: [f"  {k}: {v}\n" if line.startswith(f"  {k}:") else line for line in lines],
        )


def unsealed(text: str) -> str:
    """config.yaml as it was before it had a checksum."""
    assert unseal(text)[0] == FORMAT
    return "".join(text.splitlines(keepends=True)[1:-1])


def of_rows() -> Iterator[Damage]:
    """Rows of metrics.jsonl without a field, or with something else in it."""

    def damage(what: str, line: int, change: Callable[[dict], Any]) -> Damage:
        def apply(run_dir: Path) -> None:
            path = run_dir / "metrics.jsonl"
            lines = path.read_text().splitlines()
            row = json.loads(lines[line])
            change(row)
            lines[line] = json.dumps(row)
            path.write_text("\n".join(lines) + "\n")

        return Damage(f"metrics.jsonl: line {line} {what}", apply)

    fields = ("seed", "phase", "env_steps", "test_win_rate", "test_return_mean", "wall_s", "iteration", "is_failed")
    for index, field in enumerate(fields):
        yield damage(f"lacks {field}", -1 if index % 2 else 0, lambda row, f=field: row.pop(f))
        for value in ODD[index % 3 :: 3]:
            if not (value is None and field in ("test_win_rate", "test_return_mean")) and not (
                field == "is_failed" and value is True
            ):
                yield damage(f"{field} {str(value)[:9]!r}", 0, lambda row, f=field, v=value: row.update({f: v}))


def of_the_last_line() -> Iterator[Damage]:
    """What a power cut or a kill leaves at the end of metrics.jsonl."""
    for what in (b"\0" * 300, b"\0" * 300 + b"\n", b'{"seed": 0, "ph', b'{"seed": 0, "ph\n', b"\n", b"\xff\xfe\n"):
        yield Damage(f"metrics.jsonl: ends in {what[-9:]!r}", lambda run_dir, w=what: append(run_dir, w))


def append(run_dir: Path, what: bytes) -> None:
    with (run_dir / "metrics.jsonl").open("ab") as file:
        file.write(what)


def of_json(name: str, contents: list[Any]) -> Iterator[Damage]:
    """A record with other content."""
    for content in contents:
        yield Damage(
            f"{name}: {ascii(content)[:30]}",
            lambda run_dir, c=content: newest(run_dir, name).write_text(json.dumps(c)),
        )


def of_manifests() -> Iterator[Damage]:
    """Manifests whose checksum is right and whose fields are not."""

    def damage(pattern: str, what: str, change: Callable[[dict], Any]) -> Damage:
        def apply(run_dir: Path) -> None:
            path = newest(run_dir, pattern)
            body = json.loads(path.read_text())
            body.pop("sha256")
            change(body)
            checksum = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
            path.write_text(json.dumps({**body, "sha256": checksum}))

        return Damage(f"{pattern}: {what}", apply)

    fields = ("format_version", "name", "step", "rows_added", "host", "shapes", "segments", "files")
    for index, field in enumerate(fields):
        pattern = MANIFESTS[index % 3] if index % 2 else MANIFESTS[0]
        yield damage(pattern, f"without {field}", lambda body, f=field: body.pop(f))
        for value in (ODD[index], ODD[(index + 5) % len(ODD)]):
            yield damage(pattern, f"{field} {str(value)[:9]!r}", lambda body, f=field, v=value: body.update({f: v}))
    for field in ("iteration", "wall_s", "best_score", "best_iteration", "meter"):
        yield damage(MANIFESTS[0], f"host without {field}", lambda body, f=field: body["host"].pop(f))
        yield damage(MANIFESTS[0], f"host, {field} text", lambda body, f=field: body["host"].update({f: "text"}))
    yield damage(MANIFESTS[1], "host without iteration", lambda body: body["host"].pop("iteration"))
    yield damage(MANIFESTS[2], "host, iteration text", lambda body: body["host"].update(iteration="text"))


def of_folders() -> Iterator[Damage]:
    """Folders that are gone, or something else."""
    for name in ("checkpoints", GROUP, f"{GROUP}/state", f"{GROUP}/best", f"{GROUP}/last"):
        yield Damage(f"{name}: gone", lambda run_dir, n=name: shutil.rmtree(run_dir / n))
        yield Damage(f"{name}: a file", lambda run_dir, n=name: in_place_of(run_dir / n, lambda p: p.write_text("")))
        yield Damage(
            f"{name}: a link to itself",
            lambda run_dir, n=name: in_place_of(run_dir / n, lambda p: p.symlink_to(p.name)),
        )
        yield Damage(f"{name}: empty", lambda run_dir, n=name: in_place_of(run_dir / n, lambda p: p.mkdir()))


def in_place_of(folder: Path, make: Callable[[Path], Any]) -> None:
    shutil.rmtree(folder)
    make(folder)


def of_strays() -> Iterator[Damage]:
    """What does not belong there."""
    names = (
        "checkpoint_00000099",
        "checkpoint_99999999999999999999",
        "checkpoint_²²²²²²²²",
        "rows_00000099_000",
        "tmp_x",
    )
    for name in names:
        for kind in ("last", "best"):
            place = f"{GROUP}/{kind}/{name}"
            yield Damage(f"{place}: a stray file", lambda run_dir, p=place: (run_dir / p).write_text("stray"))
            yield Damage(f"{place}: a stray folder", lambda run_dir, p=place: (run_dir / p).mkdir())
    for name in ("error.txt", "wandb_id.txt", "tensorboard", "program.json", "config.yaml.tmp", "metrics.tmp"):
        yield Damage(f"{name}: a stray folder", lambda run_dir, n=name: (run_dir / n).mkdir())
        yield Damage(f"{name}: a stray file", lambda run_dir, n=name: (run_dir / n).write_bytes(b"\xff\0"))
    yield Damage(
        "an old copy of a checkpoint",
        lambda run_dir: copy_newest(run_dir, lambda path: path.with_name("checkpoint_00000077")),
    )
    yield Damage("a copy of a checkpoint", lambda run_dir: copy_newest(run_dir, lambda path: Path(f"{path}_copy")))


def copy_newest(run_dir: Path, place_of: Callable[[Path], Path]) -> None:
    path = newest(run_dir, f"{GROUP}/state/checkpoint_*")
    shutil.copytree(path, place_of(path))


def all_damages() -> list[Damage]:
    """All of them, for a run of seeds 0 and 1 in a group each."""
    groups = [
        [[5], [6]],
        [[-1], [1]],
        [[1], [0]],
        [[0, 1]],
        [[0]],
        [[0], [1], [2]],
        [[0.0], [1]],
        [[True], [1]],
        [0, 1],
    ]
    damages = [
        *of_lines("config.yaml", 74),
        *of_an_old_config(72),
        *(damage for name in (*RECORDS, *MANIFESTS, *ARRAYS) for damage in of_a_file(name)),
        *of_rows(),
        *of_the_last_line(),
        *of_json("groups.json", [*groups, *ODD]),
        *of_json("saved.json", [["seeds_5_to_5"], ["../x"], [1], {}, None, "text"]),
        *of_json("versions.json", [*ODD, {"jax": "\x1b[2J"}, {"jax": [1] * 400}]),
        *of_json("program.json", [{"home": ".."}, {"home": "/"}, {"home": "\0"}, {"home": "x" * 5000}, {"runs": 3}]),
        *of_manifests(),
        *of_folders(),
        *of_strays(),
    ]
    assert len({damage.name for damage in damages}) == len(damages)
    return damages


def sweep_damages() -> list[Damage]:
    """Of a sweep whose runs share a program."""
    home, cell = "programs/*", "*/seeds_0_to_0"
    records = [f"{home}/{name}" for name in ("program.json", "groups.json", "saved.json")]
    records += [
        f"{cell}/{name}" for name in ("program.json", "groups.json", "saved.json", "versions.json", "config.yaml")
    ]
    gone = (
        "programs",
        f"{home}",
        f"{home}/checkpoints",
        f"{home}/checkpoints/group_1/state",
        cell,
        f"{cell}/checkpoints",
    )
    return [
        *(damage for name in records for damage in of_a_file(name)),
        *of_json(f"{home}/program.json", [{"runs": ["../x"]}, {"runs": [".."]}, {"runs": []}, {"home": "."}, *ODD]),
        *of_json(f"{home}/groups.json", [[[5], [6]], [[0, 0]], [[0]], *ODD]),
        *of_json(f"{cell}/program.json", [{"home": "../x"}, {"home": "."}, {"runs": ["."]}, *ODD]),
        *(Damage(f"{name}: gone", lambda folder, n=name: shutil.rmtree(newest(folder, n))) for name in gone),
        *(
            Damage(f"{name}: a stray folder", lambda folder, n=name: (newest(folder, home) / n).mkdir())
            for name in ("error.txt", "config.yaml", "groups.json.tmp")
        ),
    ]


def sample(damages: list[Damage], count: int) -> set[str]:
    """Names of a varied few: as many of each kind of file as there are."""
    by_file: dict[str, list[str]] = {}
    for damage in damages:
        by_file.setdefault(re.split(": ", damage.name)[0], []).append(damage.name)
    shuffled = [random.Random(0).sample(names, len(names)) for names in by_file.values()]
    turns = [names[turn] for turn in range(max(map(len, shuffled))) for names in shuffled if turn < len(names)]
    return set(turns[:count])


def snapshot(folder: Path) -> dict[str, str]:
    """Every file, folder and link below a folder, with what is in it; a lock is not part of a run."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            if "lock" in name or name == "error.txt":
                continue
            content = os.readlink(path) if path.is_symlink() else "" if path.is_dir() else path.read_bytes().hex()
            found[str(path.relative_to(folder))] = content
    return found


def check_answer(code: int, err: str) -> None:
    """An answer that a user can read."""
    assert code in (0, 1, 2), err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 3 and all(len(line) <= 300 for line in err.splitlines()), err
    assert (code == 0) == (err == ""), err
