"""What a terminal of some width shows, and whether every word of it is whole."""

import io
import re

from rich.console import Console

WIDTHS = (40, 60, 80, 120, 200)


def terminal(width: int) -> tuple[Console, io.StringIO]:
    """A terminal, and what it was given."""
    shown = io.StringIO()
    console = Console(file=shown, width=width, height=50, force_terminal=True, color_system=None, _environ={})
    return console, shown


def cut(shown: str, width: int, words: list[str]) -> list[str]:
    """Those of the words that are not there whole; one that is wider than the terminal may be broken into lines."""
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert max(map(len, shown.splitlines())) <= width
    present = {word.rstrip(",") for word in shown.split()}
    joined = "".join(shown.split())
    bare = (word.rstrip(",") for word in words)
    return [word for word in bare if word not in present and not (len(word) > width and word in joined)]
