"""Messages that an old protobuf described, under today's."""

import importlib
import sys

import pytest
from google.protobuf import descriptor_pb2

from limae_jax.environments.smac.protocol import install_protocol

FIELD = descriptor_pb2.FieldDescriptorProto
# As protoc wrote it until 2018: it fails when it is run, and is never to be run.
OLD_FILE = """
_b = lambda x: x.encode('latin1')
raise TypeError("Descriptors cannot be created directly")
DESCRIPTOR = _descriptor.FileDescriptor(
  name={name!r},
  package='Made.Up',
  syntax='proto2',
  serialized_pb=_b({text!r})
  ,
  dependencies=[])
"""


@pytest.fixture
def protocol(tmp_path, monkeypatch):
    """A package s2clientprotocol of two old files, the first of which needs the second, and a new one."""
    folder = tmp_path / "s2clientprotocol"
    folder.mkdir()
    point = descriptor_pb2.FileDescriptorProto(name="s2clientprotocol/zz_made_up.proto", package="MadeUp")
    message = point.message_type.add(name="Point")
    message.field.add(name="x", number=1, type=FIELD.TYPE_FLOAT, label=FIELD.LABEL_OPTIONAL)
    kinds = point.enum_type.add(name="Kind")
    kinds.value.add(name="Small", number=0)
    kinds.value.add(name="Large", number=2)

    unit = descriptor_pb2.FileDescriptorProto(name="s2clientprotocol/aa_made_up.proto", package="MadeUp")
    unit.dependency.append(point.name)
    message = unit.message_type.add(name="Unit")
    for number, (name, kind) in enumerate({"pos": ".MadeUp.Point", "kind": ".MadeUp.Kind"}.items(), start=1):
        of_type = FIELD.TYPE_MESSAGE if name == "pos" else FIELD.TYPE_ENUM
        message.field.add(name=name, number=number, type=of_type, type_name=kind, label=FIELD.LABEL_OPTIONAL)

    (folder / "__init__.py").touch()
    for file in (point, unit):
        text = file.SerializeToString().decode("latin-1")
        name = file.name.rpartition("/")[2].removesuffix(".proto")
        (folder / f"{name}_pb2.py").write_text(OLD_FILE.format(name=file.name, text=text))
    (folder / "new_pb2.py").write_text("WAS_RUN = True")
    for name in [name for name in sys.modules if name.partition(".")[0] == "s2clientprotocol"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "s2clientprotocol"]:
        del sys.modules[name]


def test_old_files_become_classes_and_new_ones_stay_as_they_are(protocol):
    assert install_protocol()
    assert not install_protocol()
    units, points = (importlib.import_module(f"s2clientprotocol.{name}_made_up_pb2") for name in ("aa", "zz"))
    unit = units.Unit(pos=points.Point(x=1.5), kind=points.Large)
    again = units.Unit.FromString(unit.SerializeToString())
    assert again.pos.x == 1.5 and again.kind == 2 == points.Kind.Value("Large")
    assert sys.modules["s2clientprotocol"].aa_made_up_pb2 is units
    assert importlib.import_module("s2clientprotocol.new_pb2").WAS_RUN


def test_an_old_protobuf_needs_no_help(monkeypatch):
    monkeypatch.setattr("google.protobuf.__version__", "3.20.3")
    assert not install_protocol()
