"""The replay goes, and at no moment on the way is a run lost."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from doubles.checkpoint_worker import device_state, numpy_state, rows_at, templates
from doubles.killed import run_until

from limae_jax.checkpoints import files
from limae_jax.checkpoints.prune import find_superfluous, give_up
from limae_jax.checkpoints.store import CheckpointStore
from limae_jax.errors import InputError

pytestmark = pytest.mark.slow


def leaves_of(*trees):
    import jax

    return [np.asarray(leaf) for leaf in jax.tree.leaves(trees)]


def assert_equal(found, wanted):
    for one, other in zip(leaves_of(found), leaves_of(wanted), strict=True):
        np.testing.assert_array_equal(one, other)


def restore(directory):
    return CheckpointStore(directory).restore(*templates(device_state(0)))


def assert_is_one_of(directory, with_rows, without_rows):
    """The newest checkpoint is whole: that of one step with its rows, or that of the other without."""
    restored = restore(directory)
    assert restored.warnings == []
    small, ring = numpy_state(restored.step)
    if restored.rows_added == 0:
        assert restored.step == without_rows
        ring = numpy_state(0)[1]
    else:
        assert (restored.step, restored.rows_added) == (with_rows, rows_at(with_rows))
    assert_equal((restored.small, restored.ring), (small, ring))
    return restored


def names(directory, prefix=""):
    return sorted(path.name for path in directory.glob(f"{prefix}*"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Checkpoints of steps 2 and 3 with rows of their own. Copy before you change it."""
    directory = tmp_path_factory.mktemp("saved") / "state"
    store = CheckpointStore(directory)
    for step in (1, 2, 3):
        store.save(step, *device_state(step), rows_at(step), {})
    return directory


def drop(directory, step=4):
    """What the last save of a finished group does."""
    store = CheckpointStore(directory)
    store.restore(*templates(device_state(0)))
    for _ in range(2):
        store.save(step, *device_state(step), 0, {})


def test_the_last_save_without_rows_can_be_killed_at_any_moment(saved, tmp_path):
    seen = set()
    for number in itertools.count():
        directory = Path(shutil.copytree(saved, tmp_path / str(number)))
        was_killed = run_until(number, lambda to=directory: drop(to))
        seen.add(assert_is_one_of(directory, with_rows=3, without_rows=4).step)
        if not was_killed:
            break
        drop(directory)
        assert_is_one_of(directory, with_rows=None, without_rows=4)
        assert not names(directory, "rows_") and not names(directory, "tmp_") and len(names(directory)) == 2
    assert seen == {3, 4} and number > 10
    assert not names(directory, "rows_") and len(names(directory)) == 2


def test_a_damaged_checkpoint_without_rows_falls_back_to_its_equal(saved, tmp_path):
    directory = Path(shutil.copytree(saved, tmp_path / "state"))
    drop(directory)
    (directory / names(directory)[-1] / "manifest.json").unlink()
    restored = restore(directory)
    assert (restored.step, restored.rows_added, len(restored.warnings)) == (4, 0, 1)


def test_rows_are_counted_anew_after_a_drop(saved, tmp_path):
    directory = Path(shutil.copytree(saved, tmp_path / "state"))
    drop(directory, step=1)
    for step in (2, 3, 4, 5, 6):
        store = CheckpointStore(directory)
        store.restore(*templates(device_state(0)))
        store.save(step, *device_state(step), rows_at(step), {})
        assert_equal(restore(directory).ring, numpy_state(step)[1])


def prune(directory, step=3):
    give_up(directory, find_superfluous(directory, step))


def test_pruning_can_be_killed_at_any_moment(saved, tmp_path):
    for number in itertools.count():
        directory = Path(shutil.copytree(saved, tmp_path / str(number)))
        shutil.copytree(directory / names(directory, "rows_")[0], directory / "tmp_rows_00000009_000")
        was_killed = run_until(number, lambda to=directory: prune(to))
        assert_is_one_of(directory, with_rows=3, without_rows=3)
        if not was_killed:
            break
        prune(directory)
        assert names(directory) == names(saved, "checkpoint_")
        assert_is_one_of(directory, with_rows=None, without_rows=3)
    assert number > 2 * len(names(saved))  # each folder is touched, those of rows more than once
    assert names(directory) == names(saved, "checkpoint_")
    assert find_superfluous(directory, 3) == ([], [])


def test_the_older_checkpoint_stays_as_a_way_back_without_rows(saved, tmp_path):
    directory = Path(shutil.copytree(saved, tmp_path / "state"))
    prune(directory)
    (directory / names(directory)[-1] / "manifest.json").unlink()
    restored = restore(directory)
    assert (restored.step, restored.rows_added) == (2, 0)
    assert_equal(restored.small, numpy_state(2)[0])


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def largest_file(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("what", ["small", "manifest", "step", "nothing there"])
def test_a_replay_that_is_still_needed_is_left(saved, tmp_path, what):
    directory = Path(shutil.copytree(saved, tmp_path / "state"))
    newest = directory / names(directory, "checkpoint_")[-1]
    if what == "small":
        damage(largest_file(newest / "small"))
    elif what == "manifest":
        damage(newest / "manifest.json")
    elif what == "nothing there":
        shutil.rmtree(directory)
    before = names(directory)
    with pytest.raises(InputError, match="resume the run first"):
        prune(directory, step=4 if what == "step" else 3)
    assert names(directory) == before


def test_damaged_rows_can_go(saved, tmp_path):
    directory = Path(shutil.copytree(saved, tmp_path / "state"))
    damage(largest_file(directory / names(directory, "rows_")[-1]))
    prune(directory)
    assert_is_one_of(directory, with_rows=None, without_rows=3)


def rewritten(path, version):
    body = json.loads(path.read_text())
    body.pop("sha256")
    body["format_version"] = version
    path.write_text(json.dumps({**body, "sha256": files._body_sha256(body)}))


def test_checkpoints_of_the_first_format_are_read_and_older_code_refuses_this_one(saved, tmp_path, monkeypatch):
    directory = Path(shutil.copytree(saved, tmp_path / "state"))
    for folder in directory.glob("checkpoint_*"):
        rewritten(folder / "manifest.json", 1)
    assert_is_one_of(directory, with_rows=3, without_rows=None)
    prune(directory)
    assert json.loads((directory / names(directory)[-1] / "manifest.json").read_text())["format_version"] == 2
    monkeypatch.setattr(files, "FORMAT_VERSION", 1)
    with pytest.raises(InputError, match="format version 2"):
        restore(directory)
