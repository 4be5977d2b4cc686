"""Ends what runs at its n-th step that changes the disk, as a kill would."""

import os
import shutil
from pathlib import Path

import pytest


class Killed(BaseException):
    """Nothing catches it, and nothing more is done."""


def _delete_half(folder, *args, **kwargs):
    for path in sorted(Path(folder).rglob("*"), key=lambda path: len(path.parts)):
        if path.is_file():
            path.unlink()
            return


def run_until(number, work) -> bool:
    """Runs `work` up to its `number`-th step on the disk, from 0 on; what deletes a folder gets half-way.

    Returns:
        Whether it was killed: it has that many steps.
    """
    seen = 0

    def counted(function, half=lambda *args, **kwargs: None):
        def call(*args, **kwargs):
            nonlocal seen
            seen += 1
            if seen > number:
                half(*args, **kwargs)
                raise Killed
            return function(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rename", "replace"):
            patch.setattr(os, name, counted(getattr(os, name)))
        patch.setattr(Path, "mkdir", counted(Path.mkdir))
        patch.setattr(shutil, "rmtree", counted(shutil.rmtree, _delete_half))
        try:
            work()
        except Killed:
            return True
    return False
