"""Reads and writes the text of config.yaml, which has a checksum and holds only plain data.

format: 6                        a file without this line is of format 1, which had no checksum
<sections of settings>
# sha256 of the lines above: <checksum>
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import yaml

from limae_jax.checks import one_line, show
from limae_jax.errors import InputError

FORMAT = 6
# Formats with the same kind of checksum.
_SEALED = tuple(str(version) for version in range(2, FORMAT + 1))
_FORMAT_LINE, _SEAL = "format: ", "# sha256 of the lines above: "
# A section, a setting, a value that is a list, and a margin.
_DEEPEST = 5


def seal(text: str) -> str:
    """Adds the format and a checksum to `text`, which is YAML; `unseal` verifies them."""
    above = f"{_FORMAT_LINE}{FORMAT}\n{text}"
    return f"{above}{_SEAL}{_sha256(above)}\n"


def unseal(text: str) -> tuple[int, Any]:
    """Reads what `seal` wrote, or a file of format 1.

    Returns:
        The format, and the content as plain data.

    Raises:
        InputError: the text was altered or cut off, has an unknown format, or is not plain YAML.
    """
    above, mark, checksum = text.rpartition(_SEAL)
    version = re.match(rf"{_FORMAT_LINE}([0-9]+)\n", text)
    # Checked before the checksum, which other versions may compute differently.
    if version and version[1] not in _SEALED:
        known = f"this limae_jax reads formats 1 to {FORMAT}"
        raise InputError(f"has format {show(version[1])}, {known}; use the version of limae_jax that wrote it")
    if not (version or mark):
        return 1, plain_yaml(text)
    if not version or checksum != f"{_sha256(above)}\n":
        raise InputError(
            "was altered or cut off (its checksum differs); put it back from a copy, or, if all its settings are right,"
            " remove its first and last lines"
        )
    return int(version[1]), plain_yaml(above.partition("\n")[2])


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def plain_yaml(text: str) -> Any:
    """Reads YAML that holds only plain data.

    Raises:
        InputError: the text is not YAML, repeats a key, is nested too deeply, or has anchors, aliases or tags.
    """
    try:
        _check_events(text)
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"not valid YAML: {one_line(error)}") from None


def _check_events(text: str) -> None:
    """Checks the text event by event, before anything is built from it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise InputError(f"not settings: nested more than {_DEEPEST} deep; put the file back from a copy")
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise InputError("not settings: has YAML anchors, aliases or tags; put the file back from a copy")


class _Loader(yaml.SafeLoader):
    """Refuses a mapping that repeats a key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{show(twice)} appears twice; put the file back from a copy")
        return super().construct_mapping(node, deep)
