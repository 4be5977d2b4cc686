"""Checkpoints in folders of any name, and those that were lost there before."""

import contextlib
import os
import tempfile
from pathlib import Path

import jax.numpy as jnp
import pytest
from doubles.checkpoint_worker import check_state, device_state, rows_at, templates

from limae_jax.checkpoints import arrays, view
from limae_jax.checkpoints.store import CheckpointStore
from limae_jax.errors import InputError

pytestmark = pytest.mark.slow

PLAIN = ["a", "a b", "a.b-c_d", "-a", "a=b,c", "gs", "s3 x"]
# A pattern, a separator to tensorstore, an address, bytes that are no text, and what a shell would obey.
ODD = [
    "x[1]",
    "[!a]",
    "[",
    "st*r",
    "**",
    "what?",
    "back\\slash",
    "gs:",
    "gs:/b",
    "s3:/b",
    "new\nline",
    os.fsdecode(b"caf\xe9"),
]
ODD += [os.fsdecode(b"caf\xe9"), "~", "{a}", "$HOME", "\N{GRINNING FACE}", "\x1b[31m", "[" * 200]


def save(directory: Path, *steps: int) -> None:
    store = CheckpointStore(directory)
    if steps[0] > 1:
        store.restore(*templates(device_state(0)))
    for step in steps:
        store.save(step, *device_state(step), rows_at(step), {"step": step})


def check_restores(directory: Path, step: int) -> None:
    restored = CheckpointStore(directory).restore(*templates(device_state(0)))
    assert (restored.step, restored.warnings) == (step, [])
    check_state(restored.small, restored.ring, step)


def files_below(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*"))


@pytest.fixture
def passing_folders(tmp_path, monkeypatch):
    """Where links are made; nothing is to be left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_any_name_holds_checkpoints(tmp_path, passing_folders, name):
    directory = tmp_path / "above" / name / "state"
    save(directory, 1, 2)
    check_restores(directory, 2)
    beside = {path for path in files_below(tmp_path) if directory not in (path, *path.parents)}
    assert beside == {passing_folders, *(path for path in directory.parents if tmp_path in path.parents)}


@pytest.mark.parametrize("name", [*PLAIN, *ODD], ids=ascii)
def test_what_the_libraries_see_is_plain(tmp_path, passing_folders, name):
    folder = tmp_path / name / "small"
    folder.mkdir(parents=True)
    with view.plain(folder) as path:
        assert view._PLAIN.fullmatch(str(path)) and path.samefile(folder)
        assert (path == folder) == (name in PLAIN)


@pytest.mark.parametrize("address", ["/gs/b", "/s3", "/az/b/c", "/hf/b"])
def test_a_folder_named_like_a_store_is_no_store(address):
    assert not view._PLAIN.fullmatch(address)
    assert view._PLAIN.fullmatch(f"{address[:3]}x/b") and view._PLAIN.fullmatch(f"/a{address}")


@pytest.fixture
def lost(tmp_path, monkeypatch):
    """Saves a step as older versions did, without an index of the whole, and moves it to a plain name if asked to."""

    def make(name: str, moved_to: str | None = None) -> Path:
        with monkeypatch.context() as patch:
            patch.setattr(arrays, "plain", contextlib.nullcontext)
            patch.setattr(arrays, "_is_whole", lambda *_: True)
            save(tmp_path / name, 1, 2)
        assert not list((tmp_path / name).rglob("small/manifest.ocdbt"))
        return (tmp_path / name).rename(tmp_path / moved_to) if moved_to else tmp_path / name

    return make


@pytest.mark.parametrize(("name", "moved_to"), [("x[1]", None), ("x[1]", "x"), ("[!a]", "[b]"), ("back\\slash", None)])
def test_lost_steps_are_read_and_nothing_is_written(lost, passing_folders, name, moved_to):
    directory = lost(name, moved_to)
    before = files_below(directory)
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    check_restores(directory, 2)
    assert files_below(directory) == before
    for path in before:
        path.chmod(0o755)
    save(directory, 3)
    check_restores(directory, 3)


def test_arrays_that_are_gone_are_one_line(lost):
    directory = lost("back\\slash", "moved")  # they stay where tensorstore took the backslash for a slash
    with pytest.raises(InputError, match=r"checkpoint_00000002/small cannot be read") as error:
        check_restores(directory, 2)
    assert "\n" not in str(error.value)


def test_a_save_that_cannot_be_read_back_is_an_error_and_keeps_the_old_one(tmp_path, monkeypatch):
    directory = tmp_path / "x[1]"
    save(directory, 1)
    with monkeypatch.context() as patch:
        patch.setattr(arrays, "plain", contextlib.nullcontext)
        with pytest.raises(OSError, match="cannot be read back"):
            save(directory, 2)
    check_restores(directory, 1)
    save(directory, 2)
    check_restores(directory, 2)


@pytest.mark.parametrize("what", ["index", "data"])
def test_arrays_that_are_not_there_are_noticed_whatever_the_reason(tmp_path, monkeypatch, what):
    class Careless:
        def save(self, path, args):
            tree = args.item if what == "data" else {name: args.item[name] for name in list(args.item)[1:]}
            checkpointer.save(path, args=type(args)(tree))
            if what == "data":
                largest = max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
                largest.unlink()

    checkpointer = arrays._checkpointer()
    monkeypatch.setattr(arrays, "_checkpointer", Careless)
    with pytest.raises(OSError, match="cannot be read back"):
        arrays.write_arrays(tmp_path / "small", {"a": jnp.ones((2, 5000)), "b": jnp.zeros(()), "c": jnp.zeros(3)})


def test_arrays_of_every_kind_are_found_again(tmp_path):
    tree = [jnp.zeros(()), jnp.zeros((1,)), jnp.zeros((2, 3), bool), jnp.ones((3, 1, 2), jnp.bfloat16), jnp.uint32(7)]
    arrays.write_arrays(tmp_path / "small", tree)
    shapes = {f"{i:05d}": leaf.shape for i, leaf in enumerate(tree)}
    before = files_below(tmp_path)
    assert view.unreadable_arrays(tmp_path / "small", shapes) == []
    assert view.unreadable_arrays(tmp_path / "small", {**shapes, "00001": (2,), "00009": ()}) == ["00001", "00009"]
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("why", ["no links", "no temporary folder"])
def test_where_no_link_can_be_made_odd_names_are_refused_and_plain_ones_work(tmp_path, monkeypatch, why):
    def fail(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(*((Path, "symlink_to", fail) if why == "no links" else (tempfile, "TemporaryDirectory", fail)))
    view.check_place(tmp_path / "a")
    save(tmp_path / "a", 1)
    check_restores(tmp_path / "a", 1)
    for name in ("x[1]", "gs:"):
        with pytest.raises(InputError, match=r"choose a name of letters and digits"):
            view.check_place(tmp_path / name)


def test_a_temporary_folder_with_an_odd_name_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "t[1]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t[1]"))
    save(tmp_path / "x[1]", 1)
    check_restores(tmp_path / "x[1]", 1)


def test_two_processes_save_and_restore_under_an_odd_name(tmp_path, run_pair):
    directory = tmp_path / os.fsdecode(b"x[1]\\gs:\xe9")
    run_pair(directory)
    check_restores(directory, 6)
