import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.checkpoint_worker import check_state, device_state, rows_at, templates

from limae_jax.checkpoints.params import has_params, load_params, save_params
from limae_jax.checkpoints.store import CheckpointStore
from limae_jax.errors import InputError

pytestmark = pytest.mark.slow


def _save(store: CheckpointStore, step: int):
    return store.save(step, *device_state(step), rows_at(step), {"step": step, "best": [None, 0.25]})


def _restore(directory: Path):
    return CheckpointStore(directory).restore(*templates(device_state(0)))


def _names(directory: Path, prefix: str) -> list[str]:
    return sorted(path.name for path in directory.glob(f"{prefix}*"))


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory) -> Path:
    """Checkpoints of steps 2 and 3, each with rows of its own; copy before you change it."""
    directory = tmp_path_factory.mktemp("two") / "state"
    store = CheckpointStore(directory)
    for step in (1, 2, 3):
        _save(store, step)
    return directory


@pytest.fixture
def copied(two_checkpoints, tmp_path) -> Path:
    return Path(shutil.copytree(two_checkpoints, tmp_path / "state"))


def test_nothing_saved_is_none(tmp_path):
    assert _restore(tmp_path / "absent") is None
    assert not CheckpointStore(tmp_path / "absent").exists()


def test_every_save_of_a_long_run_restores_bit_for_bit(tmp_path):
    store = CheckpointStore(tmp_path)
    for step in range(1, 9):
        report = _save(store, step)
        restored = _restore(tmp_path)
        assert (restored.step, restored.rows_added, restored.warnings) == (step, rows_at(step), [])
        assert restored.host == {"step": step, "best": [None, 0.25]}
        check_state(restored.small, restored.ring, step)
        assert report.bytes_written > 0
        assert len(_names(tmp_path, "checkpoint_")) == min(step, 2)
    assert set(_names(tmp_path, "")) == {*_names(tmp_path, "checkpoint_"), *_names(tmp_path, "rows_")}
    assert len(_names(tmp_path, "rows_")) <= 6


def test_a_resumed_store_goes_on_where_the_first_one_stopped(copied):
    store = CheckpointStore(copied)
    store.restore(*templates(device_state(0)))
    before = _names(copied, "rows_")
    report = _save(store, 4)
    assert report.rows_written == rows_at(4) - rows_at(3)
    assert before[-1] in _names(copied, "rows_")
    restored = _restore(copied)
    check_state(restored.small, restored.ring, 4)


def test_a_save_writes_only_what_is_new(tmp_path):
    ring = {"x": jnp.zeros((1, 64, 40_000))}
    store = CheckpointStore(tmp_path)
    whole = store.save(0, {}, ring, 64, {})
    part = store.save(1, {}, ring, 68, {})
    idle = store.save(2, {}, ring, 68, {})
    assert whole.bytes_written > 64 * 160_000
    assert part.rows_written == 4
    assert 4 * 160_000 < part.bytes_written < 5 * 160_000
    assert idle.rows_written == 0
    assert idle.bytes_written < 10_000


def _damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "missing":
        path.unlink()
        return
    if kind == "truncated":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _largest_file(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("kind", ["missing", "truncated", "flipped"])
@pytest.mark.parametrize("what", ["small", "rows", "manifest"])
def test_a_damaged_checkpoint_falls_back_and_says_so(copied, what, kind):
    newest = copied / _names(copied, "checkpoint_")[-1]
    places = {"small": newest / "small", "rows": copied / _names(copied, "rows_")[-1]}
    target = newest / "manifest.json" if what == "manifest" else _largest_file(places[what])
    _damage(target, kind)
    store = CheckpointStore(copied)
    restored = store.restore(*templates(device_state(0)))
    assert restored.step == 2
    check_state(restored.small, restored.ring, 2)
    assert len(restored.warnings) == 1
    assert target.relative_to(copied).as_posix() in restored.warnings[0]
    assert "step 2" in restored.warnings[0]

    _save(store, 3)
    again = _restore(copied)
    assert (again.step, again.warnings) == (3, [])
    check_state(again.small, again.ring, 3)


def test_when_none_is_whole_the_error_names_all(copied):
    for name in _names(copied, "checkpoint_"):
        _damage(_largest_file(copied / name / "small"), "missing")
    with pytest.raises(InputError) as error:
        _restore(copied)
    assert all(name in str(error.value) for name in _names(copied, "checkpoint_"))
    assert "run.dir" in str(error.value)


def test_an_unknown_format_is_refused_by_name(copied):
    path = copied / _names(copied, "checkpoint_")[-1] / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 99}))
    with pytest.raises(InputError, match=r"format version 99.*reads 1 to 2"):
        _restore(copied)


def test_other_shapes_are_refused(copied):
    small, ring = templates(device_state(0))
    small["params"]["w"] = jax.ShapeDtypeStruct((2, 5, 4), jnp.float32)
    with pytest.raises(InputError, match=r"\['params'\]\['w'\]"):
        CheckpointStore(copied).restore(small, ring)


def test_what_a_killed_save_left_is_ignored_and_removed(copied):
    newest = copied / _names(copied, "checkpoint_")[-1]
    shutil.copytree(newest / "small", copied / "tmp_checkpoint_00000009" / "small")
    shutil.copytree(copied / _names(copied, "rows_")[-1], copied / "rows_00000009_000")
    store = CheckpointStore(copied)
    assert store.restore(*templates(device_state(0))).step == 3
    _save(store, 4)
    assert _restore(copied).step == 4
    assert not _names(copied, "tmp_")
    assert not (copied / "rows_00000009_000").exists()


SMALL_DISK = """
import resource, sys
import jax.numpy as jnp
from limae_jax.checkpoints.params import save_params
size = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
for save in range(3):
    try:
        save_params(sys.argv[1], {str(index): jnp.arange(100_000.0) for index in range(10)}, {})
    except OSError as error:
        print(error.strerror)
"""


@pytest.mark.parametrize("size", [0, 4096, 300_000])
def test_what_cannot_be_written_is_the_systems_error_and_nothing_else_is_said(tmp_path, size):
    command = [sys.executable, "-c", SMALL_DISK, str(tmp_path / "last"), str(size)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"File too large\n" * 3)
    # Neither orbax, nor tensorstore's threads, which find asyncio's loop closed.
    assert done.stderr == b""


def test_rows_cannot_be_taken_back(copied):
    store = CheckpointStore(copied)
    store.restore(*templates(device_state(0)))
    with pytest.raises(ValueError, match="rows_added=3"):
        _save(store, 1)


def test_params_are_replaced_and_loaded(tmp_path):
    directory = tmp_path / "best"
    template = jax.eval_shape(lambda: {"w": jnp.zeros((2, 3))})
    assert not has_params(directory)
    with pytest.raises(InputError, match="no parameters"):
        load_params(directory, template)
    for score in (0.25, 0.5):
        save_params(directory, {"w": jnp.full((2, 3), score)}, {"score": score})
        assert has_params(directory)
        tree, host = load_params(directory, template)
        assert host == {"score": score}
        np.testing.assert_array_equal(tree["w"], np.full((2, 3), score, np.float32))


def test_two_processes_save_and_restore_their_shards(tmp_path, run_pair):
    run_pair(tmp_path)
    assert _names(tmp_path, "tmp_") == []
    restored = _restore(tmp_path)
    check_state(restored.small, restored.ring, 6)
