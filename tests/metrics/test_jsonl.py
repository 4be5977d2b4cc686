import json

import numpy as np
import pytest
from doubles.rows import row

from limae_jax.errors import InputError
from limae_jax.metrics.jsonl import JsonlWriter, read_rows
from limae_jax.metrics.schema import REQUIRED_FIELDS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "metrics.jsonl"


def test_rows_come_back(path):
    writer = JsonlWriter(path)
    writer.write([row(0), row(1)])
    writer.write([row(0, 2000, loss=np.nan)])
    assert read_rows(path) == [row(0), row(1), row(0, 2000, loss=None)]
    assert len(path.read_text().splitlines()) == 3
    assert "NaN" not in path.read_text()


def test_no_file_has_no_rows(path):
    assert read_rows(path) == []


def test_a_torn_last_line_is_left_out_and_never_joined(path):
    writer = JsonlWriter(path)
    writer.write([row(0), row(1)])
    path.write_bytes(path.read_bytes()[:-20])
    assert read_rows(path) == [row(0)]
    JsonlWriter(path).write([row(2)])
    assert read_rows(path) == [row(0), row(2)]


def test_a_line_broken_in_the_middle_is_named(path):
    JsonlWriter(path).write([row(0)])
    path.write_text(path.read_text() + "{oops\n" + json.dumps(row(1)) + "\n")
    with pytest.raises(InputError, match="line 2"):
        read_rows(path)


def test_rewrite_replaces_all_rows(path):
    writer = JsonlWriter(path)
    writer.write([row(0), row(1), row(2)])
    writer.rewrite([row(1)])
    writer.write([row(3)])
    assert read_rows(path) == [row(1), row(3)]
    assert [one.name for one in path.parent.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize(
    "end",
    [
        b"\0" * 300,
        b"\0" * 300 + b"\n",
        b'{"seed": 0, "pha',
        b'{"seed": 0, "pha\n',
        b"\n",
        b"\xff\xfe\n",
        b"[" * 100_000,
    ],
)
def test_an_unreadable_last_line_is_always_cut_off(path, end):
    JsonlWriter(path).write([row(0), row(1)])
    whole = path.read_bytes()
    path.write_bytes(whole + end)
    assert read_rows(path) == [row(0), row(1)]
    JsonlWriter(path).write([row(2)])
    assert read_rows(path) == [row(0), row(1), row(2)]
    assert path.read_bytes().startswith(whole + b'{"seed": 2')


def test_a_whole_last_line_counts_without_its_end(path):
    JsonlWriter(path).write([row(0), row(1)])
    path.write_bytes(path.read_bytes()[:-1])
    assert read_rows(path) == [row(0), row(1)]
    JsonlWriter(path).write([row(2)])
    assert read_rows(path) == [row(0), row(1), row(2)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test_win_rate": "text"}, "line 1 has test_win_rate=text"),
        ({"test_win_rate": True}, "line 1 has test_win_rate=true"),
        ({"seed": None}, "line 1 has seed=null"),
        ({"seed": -1}, "line 1 has seed=-1"),
        ({"env_steps": 1.5}, "line 1 has env_steps=1.5"),
        ({"env_steps": 10**400}, "line 1 has env_steps=1000"),
        ({"loss": 10**400}, "line 1 has loss=1000"),
        ({"loss": float("nan")}, "line 1 has loss=nan"),
        ({"is_failed": 0}, "line 1 has is_failed=0"),
        ({"phase": 3}, "line 1 has phase=3"),
    ],
)
def test_a_row_with_something_else_in_it_is_named(path, change, said):
    path.parent.mkdir()
    path.write_text(json.dumps({**row(0), **change}) + "\n")
    with pytest.raises(InputError, match=rf"^metrics={path}: {said}"):
        read_rows(path)


def test_a_row_without_a_field_is_named(path):
    path.parent.mkdir()
    for name in REQUIRED_FIELDS:
        path.write_text(json.dumps({key: value for key, value in row(0).items() if key != name}) + "\n")
        with pytest.raises(InputError, match=f"line 1 lacks {name};"):
            read_rows(path)
    path.write_text("[1]\n")
    with pytest.raises(InputError, match="line 1 is not a JSON object"):
        read_rows(path)
