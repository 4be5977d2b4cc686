"""A user who stops a run after some chunks, and whether it went on from there as if nothing had been."""

import os
import signal
from pathlib import Path

import numpy as np

from limae_jax.metrics.jsonl import read_rows
from limae_jax.training.report import RunReport

TIMES = {"wall_s", "env_steps_per_s"}


def stop_after(monkeypatch, chunks, number=signal.SIGINT):
    """Sends this process a signal after so many chunks."""
    seen = []
    progress = RunReport.progress

    def counted(self, *args):
        seen.append(args)
        if len(seen) == chunks:
            os.kill(os.getpid(), number)
        progress(self, *args)

    monkeypatch.setattr(RunReport, "progress", counted)


def without_times(rows):
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def assert_equal_runs(one, other, final_arrays):
    arrays, expected = final_arrays(one), final_arrays(other)
    assert arrays.keys() == expected.keys()
    unequal = [name for name in arrays if not np.array_equal(arrays[name], expected[name], equal_nan=True)]
    assert not unequal
    assert any(".replay." in name and "experience" in name for name in arrays)
    rows, wanted = read_rows(Path(one) / "metrics.jsonl"), read_rows(Path(other) / "metrics.jsonl")
    assert without_times(rows) == without_times(wanted)
    assert len(rows) >= 2
