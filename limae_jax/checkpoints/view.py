"""Presents a folder of arrays to orbax and tensorstore under a plain name, with one index over all processes.

Orbax searches the indices of the processes with a glob pattern that begins with the folder's path. If it finds none, it
writes no merged index and still reports success. tensorstore reads a backslash as a slash and accepts UTF-8 paths
only; both take a folder `gs:` or `/s3` for the address of a remote store. A symbolic link with a plain name, in a
private folder of this process, hides the real name from both.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import tensorstore

from limae_jax.errors import InputError

# Names that both libraries take literally.
_PLAIN = re.compile(r"/(?!(gs|s3|az|hf)(/|$))[A-Za-z0-9_.,=+@ /-]*")
_INDEX, _PROCESSES = "manifest.ocdbt", "ocdbt.process_*"


@contextlib.contextmanager
def plain(folder: Path) -> Iterator[Path]:
    """Yields a plain path to `folder`, which need not exist yet.

    Raises:
        InputError: its own name is not plain, and no link to it can be created.
    """
    if _PLAIN.fullmatch(str(folder)):
        yield folder
        return
    with _private_folder(folder) as private:
        yield _link(private / "to", folder.parent) / folder.name


@contextlib.contextmanager
def readable(folder: Path) -> Iterator[Path]:
    """Yields a folder of arrays with a merged index: `folder`, or a temporary view of it if it has no such index."""
    with plain(folder) as path:
        if (path / _INDEX).is_file():
            yield path
            return
        with _private_folder(folder) as view:
            for entry in (*path.iterdir(), *_strays(folder)):
                _link(view / entry.name, entry)
            _merge(view)
            yield view


def check_place(folder: Path) -> None:
    """Checks that arrays can be saved below `folder`, which need not exist yet.

    Raises:
        InputError: see `plain`.
    """
    with plain(folder.absolute() / "arrays"):
        pass


def unreadable_arrays(folder: Path, shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """Returns the arrays of `shapes`, name -> shape, that the merged index lacks, has in part or in another shape."""
    with plain(folder) as path:
        store = _open(path, tensorstore.Context())
        keys = set(store.list().result())
        return [name for name, shape in shapes.items() if not _is_complete(store, keys, name, shape)]


def _is_complete(store: tensorstore.KvStore, keys: set[bytes], name: str, shape: Sequence[int]) -> bool:
    if (key := f"{name}/.zarray".encode()) not in keys:
        return False
    described = json.loads(store.read(key).result().value)
    counts = [-(-size // chunk) for size, chunk in zip(described["shape"], described["chunks"], strict=True)]
    chunks = [".".join(map(str, index)) or "0" for index in itertools.product(*map(range, counts))]
    return described["shape"] == list(shape) and all(f"{name}/{chunk}".encode() in keys for chunk in chunks)


def _merge(folder: Path) -> None:
    """Writes the merged index, which refers to the data where the processes wrote it."""
    context = tensorstore.Context()
    with tensorstore.Transaction(atomic=True) as transaction:
        whole = _open(folder, context).with_transaction(transaction)
        for process in sorted(folder.glob(_PROCESSES)):
            _open(process, context).experimental_copy_range_to(whole).result()


def _strays(folder: Path) -> list[Path]:
    """Returns folders that tensorstore wrote elsewhere because it read a backslash in the name as a slash."""
    if "\\" not in str(folder):
        return []
    written = folder.parent.with_name(f"tmp_{folder.parent.name}") / f"{folder.name}.orbax-checkpoint-tmp"
    return sorted(Path(str(written).replace("\\", "/")).glob(_PROCESSES))


def _open(folder: Path, context: tensorstore.Context) -> tensorstore.KvStore:
    base = {"driver": "file", "path": f"{folder}/"}
    return tensorstore.KvStore.open({"driver": "ocdbt", "base": base}, context=context).result()


def _link(link: Path, target: Path) -> Path:
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError as error:
        raise _no_link(target, error) from None
    return link


@contextlib.contextmanager
def _private_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder with a plain name, for links to `folder` or into it."""
    try:
        places = [place for place in (tempfile.gettempdir(), "/tmp") if _PLAIN.fullmatch(place)]
        private = tempfile.TemporaryDirectory(prefix="limae_jax_", dir=places[0], ignore_cleanup_errors=True)
    except OSError as error:
        raise _no_link(folder, error) from None
    with private as path:
        yield Path(path)


def _no_link(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"run.dir={folder}: saving under this name needs a link in the temporary folder, and none can be created "
        f"there ({error.strerror}); set TMPDIR to a writable folder, or choose a name of letters and digits"
    )
