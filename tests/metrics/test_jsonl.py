import json

import numpy as np
import pytest
from rows import row

from limae_jax.errors import InputError
from limae_jax.metrics.jsonl import JsonlWriter, read_rows


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
