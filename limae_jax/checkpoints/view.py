"""How orbax and tensorstore get to see a folder of arrays: under a plain name, and with one index of all processes.

Orbax looks for the indices of the processes with a pattern that begins with the folder's own path, and where it finds
none it writes no index of the whole and reports success. tensorstore takes a backslash for a slash and no bytes that
are not UTF-8; a folder `gs:` or `/s3` is the address of a store to both. A symbolic link with a plain name, in a
folder of this process, hides all that from them.
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

# Taken literally by both of them.
_PLAIN = re.compile(r"/(?!(gs|s3|az|hf)(/|$))[A-Za-z0-9_.,=+@ /-]*")
_INDEX, _PROCESSES = "manifest.ocdbt", "ocdbt.process_*"


@contextlib.contextmanager
def plain(folder: Path) -> Iterator[Path]:
    """`folder`, which need not be there yet, under a plain name.

    Raises:
        InputError: its own name is not plain, and no link to it can be made.
    """
    if _PLAIN.fullmatch(str(folder)):
        yield folder
        return
    with _private_folder(folder) as private:
        yield _link(private / "to", folder.parent) / folder.name


@contextlib.contextmanager
def readable(folder: Path) -> Iterator[Path]:
    """A folder of arrays with an index of the whole: `folder`, or a passing view of one that was written without."""
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
    """Checks that arrays can be kept below `folder`, which need not be there yet.

    Raises:
        InputError: see `plain`.
    """
    with plain(folder.absolute() / "arrays"):
        pass


def unreadable_arrays(folder: Path, shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """Those of the arrays, name -> shape, that the index of the whole describes otherwise or has no data of."""
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
    """Writes the index of the whole; it refers to the data where the processes wrote it."""
    context = tensorstore.Context()
    with tensorstore.Transaction(atomic=True) as transaction:
        whole = _open(folder, context).with_transaction(transaction)
        for process in sorted(folder.glob(_PROCESSES)):
            _open(process, context).experimental_copy_range_to(whole).result()


def _strays(folder: Path) -> list[Path]:
    """What tensorstore wrote elsewhere when it took a backslash in the folder's name for a slash."""
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
    """A passing folder with a plain name, for links to `folder` or into it."""
    try:
        places = [place for place in (tempfile.gettempdir(), "/tmp") if _PLAIN.fullmatch(place)]
        private = tempfile.TemporaryDirectory(prefix="limae_jax_", dir=places[0], ignore_cleanup_errors=True)
    except OSError as error:
        raise _no_link(folder, error) from None
    with private as path:
        yield Path(path)


def _no_link(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"run.dir={folder}: arrays are saved under such a name by way of a link in the temporary folder, and none can "
        f"be made there ({error.strerror}); set TMPDIR to a folder to write in, or choose a name of letters and digits"
    )
