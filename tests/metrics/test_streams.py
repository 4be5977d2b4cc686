"""Standard streams that are closed, gone, full, or of an encoding without what is printed."""

import io
import os
import shlex
import subprocess
import sys

import pytest
from rich.table import Table
from rich.text import Text

from limae_jax.metrics import terminal
from limae_jax.metrics.streams import Output, wrapped


class _Refusing(io.StringIO):
    """A stream that cannot be written."""

    def write(self, *text):
        raise OSError(5, "Input/output error")

    flush = write


def test_what_an_encoding_lacks_is_replaced():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Output(stream).write("Müller… \udcff 3m\n")
    stream.flush()
    assert stream.buffer.getvalue() == b"M?ller? ? 3m\n"


@pytest.mark.parametrize("stream", [None, _Refusing()])
def test_a_stream_that_is_no_more_stops_no_work(stream):
    out = Output(stream)
    out.write("lost")
    out.flush()
    out.give_up() if stream is None else None
    assert not out.isatty() and wrapped(out) is out


def test_a_stream_that_is_needed_is_missed():
    with pytest.raises(OSError, match="Input/output"):
        Output(_Refusing(), may_be_lost=False).write("lost")


@pytest.mark.parametrize("text", ["\x1b[31mred", "bell\x07", "a\x9bb", "‮txet", "tab\x7f"])
def test_the_console_shows_text_that_a_terminal_would_obey_as_escapes(monkeypatch, text):
    shown = io.StringIO()
    monkeypatch.setattr("sys.stdout", shown)
    table = Table()
    table.add_column(text)
    table.add_row(text)
    console = terminal.make_console()
    for what in (table, Text(text), text):
        console.print(what)
    assert all(line.isprintable() for line in shown.getvalue().splitlines())


def test_the_console_ends_no_work_when_its_reader_leaves(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        terminal.make_console().print("lost")
        with pytest.raises(BrokenPipeError):
            stream.flush()
        Output(stream).give_up()


OPENS_A_FILE = """
import sys
from limae_jax.cli import main as cli
def opens(args):
    with open("file", "w") as file:
        print("printed")
        return file.fileno()
cli.COMMANDS["config"] = opens
sys.exit(cli.main(["config"]))
"""


@pytest.mark.parametrize("closed", [[], [1], [2], [0, 1, 2]])
def test_no_file_gets_the_number_of_a_closed_stream(tmp_path, closed):
    command = [sys.executable, "-c", OPENS_A_FILE]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    redirected = " ".join(f"{descriptor}>&-" for descriptor in closed)
    done = subprocess.run(
        f"{shlex.join(command)} {redirected}",
        shell=True,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode > 2
    assert done.stdout + done.stderr == (b"" if 1 in closed else b"printed\n")
    assert (tmp_path / "file").read_text() == ""
