"""The entry point of the command line: runs one command and turns its errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Sequence
from typing import TextIO, cast

from limae_jax.checks import one_line, shorten
from limae_jax.cli.arguments import parse
from limae_jax.cli.commands import COMMANDS
from limae_jax.config.plugins import load_installed, load_plugins
from limae_jax.errors import GameError, InputError
from limae_jax.metrics.streams import Output, occupy_descriptors
from limae_jax.runs.interrupts import Interrupted, interruptible, report_interrupted

# Commands that go on from what they saved.
_CONTINUED = ("train", "resume", "sweep")
# Commands whose work is not lost with what they print.
_KEPT_IN_FILES = (*_CONTINUED, "report", "render", "export", "prune")

_LONGEST_MESSAGE = 300


def _system_error(error: OSError, command: str) -> str:
    """What the system refused, and what to do."""
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    fix = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "see to that"
    saved = ", which goes on from what is saved" if command in _CONTINUED else ""
    return f"{where}{error.strerror or error}; {fix}, then give the same command again{saved}"


def _print_error(message: str) -> None:
    """One line of at most _LONGEST_MESSAGE characters, whatever names and values the message quotes."""
    line = shorten(f"limae-jax: error: {one_line(message)}", _LONGEST_MESSAGE)
    print(line, file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: arguments without the program's name; None takes the process's.

    Returns:
        Exit code: 0 fine, 1 a seed, a game or the disk failed, or the output was cut off, 2 a mistake in the input,
        3 another process trains some runs of a sweep, 128 + n stopped by signal n.
    """
    occupy_descriptors()
    out, err = Output(sys.stdout, may_be_lost=False), Output(sys.stderr)
    with contextlib.redirect_stdout(cast(TextIO, out)), contextlib.redirect_stderr(cast(TextIO, err)):
        try:
            with interruptible():
                return _run(argv, out)
        finally:
            out.give_up()
            err.give_up()


def _run(argv: Sequence[str] | None, out: Output) -> int:
    command = ""
    try:
        args = parse(argv)
        command = args.command
        out.may_be_lost = command in _KEPT_IN_FILES
        load_installed()
        load_plugins(args.plugin)
        code = COMMANDS[command](args)
        out.flush()
        return code
    except InputError as error:
        _print_error(str(error))
        return 2
    except GameError as error:
        _print_error(str(error))
        return 1
    except KeyboardInterrupt as error:
        return report_interrupted(error.number if isinstance(error, Interrupted) else signal.SIGINT)
    except BrokenPipeError:  # the reader has gone
        return 1
    except OSError as error:
        _print_error(_system_error(error, command))
        return 1
