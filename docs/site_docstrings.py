"""Extension of griffe: `a, b: what both are` in a docstring becomes an entry for each name."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ENTRY = re.compile(r"( +)(\w+(?:, \w+)+): ")


class OneNameAnEntry(griffe.Extension):
    """Rewrites the docstrings of all objects before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of one object, if it has one."""
        if obj.docstring:
            obj.docstring.value = split_entries(obj.docstring.value)


def split_entries(text: str) -> str:
    """Repeats an entry that has several names, with its further lines, for each of them."""
    lines, written = text.splitlines(), []
    while lines:
        entry = _ENTRY.match(lines[0])
        block = [lines.pop(0)]
        while entry and lines and lines[0].startswith(entry[1] + " "):
            block.append(lines.pop(0))
        for name in entry[2].split(", ") if entry else [None]:
            first = f"{entry[1]}{name}: {block[0][entry.end() :]}" if entry else block[0]
            written += [first, *block[1:]]
    return "\n".join(written)
