"""Makes StarCraft II's message classes importable under today's protobuf."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType

_PACKAGE = "s2clientprotocol"


def install_protocol() -> bool:
    """Puts the message modules of s2clientprotocol into `sys.modules`. Call it before pysc2 is imported.

    Their files were made by a protobuf so old that 4 and later refuse to run them, unless the whole process falls back
    on messages in pure Python, a hundred times slower. The descriptions of the messages inside are good, though: the
    classes are built from these, as files that are made today do.

    Returns:
        Whether that was needed.

    Raises:
        ImportError: protobuf or s2clientprotocol is missing.
    """
    import google.protobuf

    if int(google.protobuf.__version__.partition(".")[0]) < 4:
        return False
    # Of a package without __init__.py __file__ would be None.
    folder = Path(next(iter(importlib.import_module(_PACKAGE).__path__)))
    needed = False
    for path in sorted(folder.glob("*_pb2.py")):
        needed |= _build(folder, path.stem)
    return needed


def _build(folder: Path, name: str) -> bool:
    full_name = f"{_PACKAGE}.{name}"
    if full_name in sys.modules:
        return False
    from google.protobuf import descriptor_pb2, descriptor_pool
    from google.protobuf.internal import builder

    path = folder / f"{name}.py"
    description = _description(path)
    if description is None:
        return False
    for dependency in descriptor_pb2.FileDescriptorProto.FromString(description).dependency:
        _build(folder, f"{Path(dependency).stem}_pb2")
    module = ModuleType(full_name)
    module.__file__ = str(path)
    module.DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(description)  # type: ignore[attr-defined]
    builder.BuildMessageAndEnumDescriptors(module.DESCRIPTOR, module.__dict__)
    builder.BuildTopDescriptorsAndMessages(module.DESCRIPTOR, full_name, module.__dict__)
    sys.modules[full_name] = module
    setattr(sys.modules[_PACKAGE], name, module)
    return True


def _description(path: Path) -> bytes | None:
    """The serialized FileDescriptorProto in an old generated file, `serialized_pb=_b('...')`; None if it is new."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.keyword) and node.arg == "serialized_pb":
            texts = [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
            text = next(text for text in texts if isinstance(text, str | bytes))
            return text if isinstance(text, bytes) else text.encode("latin-1")
    return None
