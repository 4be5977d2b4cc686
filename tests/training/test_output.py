"""Training goes on to its end, and exits by its result, whatever becomes of what it prints."""

import io
import os

import pytest

from limae_jax.cli.main import main
from limae_jax.metrics.jsonl import read_rows

pytestmark = pytest.mark.slow


class Refusing(io.StringIO):
    """A stream that cannot be written, as of a terminal that has closed."""

    def write(self, *text):
        raise OSError(5, "Input/output error")

    flush = write


def reader_gone():
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


def full():
    """A file on a disk that is full."""
    return open("/dev/full", "w")


@pytest.fixture
def shown(monkeypatch):
    """Takes the place of both standard streams."""

    def show(stream):
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setattr("sys.stderr", stream)

    return show


@pytest.mark.parametrize("make", [lambda: None, Refusing, reader_gone, full])
def test_a_run_is_not_lost_with_what_it_prints(shown, tiny, make, tmp_path):
    stream = make()
    shown(stream)
    assert main(["train", *tiny()]) == 0
    assert main(["sweep", *tiny()[:-1], "run.total_env_steps=5000", f"sweep.dir={tmp_path / 'sweep'}"]) == 0
    assert len(read_rows(tmp_path / "run" / "metrics.jsonl")) >= 2
    assert main(["train", "run.num_seeds=0"]) == 2
    if isinstance(stream, io.TextIOWrapper):
        stream.close()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_are_shown_in_every_locale(shown, tiny, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    shown(stream)
    assert main(["train", *tiny(name="Läufe 名")]) == 0
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding)
    expected = {"ascii": "L?ufe ?", "latin-1": "Läufe ?", "utf-8": "Läufe 名"}
    assert "win rate" in text and expected[encoding] in text
