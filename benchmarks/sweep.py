"""Wall and processor time of a grid over learning rates in one program and in a process per cell, with cold caches.

python benchmarks/sweep.py --json benchmarks/results/sweep.json

Both train the same cells with the same seeds to the same number of environment steps, with all that a run does:
starting Python, compiling, evaluating, saving. Every process starts with its own empty compilation cache.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from host import Row, write_rows

RATES = (1e-4, 2e-4, 3e-4, 5e-4, 7e-4, 1e-3, 2e-3, 3e-3)
# The workload of JaxMARL's qmix_rnn, see train_throughput.py.
WORK = (
    "system=qmix env.scenario=3m env.num_envs=8 replay.row_length=128 replay.batch_rows=32 replay.capacity_rows=624"
    " replay.min_rows=32 system.updates_per_iteration=1 evaluation.every_time_steps=50_000"
)


def run(command: Sequence[str], cache: Path) -> dict[str, float]:
    """Runs limae-jax to its end, and returns the seconds of wall time, and of processor time of all cores."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    subprocess.run(
        [sys.executable, "-m", "limae_jax", *command], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"wall_s": round(time.perf_counter() - began, 1), "cpu_s": round(used, 1)}


def one_program(overrides: Sequence[str], rates: Sequence[float], folder: Path) -> list[dict[str, float]]:
    """Trains all cells as a sweep."""
    grid = f"system.learning_rate={','.join(map(str, rates))}"
    return [run(["sweep", *overrides, grid, f"sweep.dir={folder}/sweep"], folder / "cache")]


def processes(overrides: Sequence[str], rates: Sequence[float], folder: Path) -> list[dict[str, float]]:
    """Trains each cell in its own process, one after the other."""
    return [
        run(
            ["train", *overrides, f"system.learning_rate={rate}", f"run.dir={folder}/{rate}"],
            folder / f"cache_{rate}",
        )
        for rate in rates
    ]


def main() -> None:
    """Parses the command line, measures, prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=len(RATES), help="number of learning rates, from the first")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--env-steps", type=int, default=100_000, help="steps of each seed")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    args = parser.parse_args()
    overrides = [*WORK.split(), f"run.num_seeds={args.seeds}", f"run.total_env_steps={args.env_steps}"]
    rates = RATES[: args.cells]
    row: Row = {"work": WORK, "learning_rates": rates, "seeds": args.seeds, "env_steps": args.env_steps}
    totals = {}
    for measure in (one_program, processes):
        with tempfile.TemporaryDirectory() as folder:
            each = measure(overrides, rates, Path(folder))
        totals[measure.__name__] = {name: round(sum(one[name] for one in each), 1) for name in each[0]}
        row[measure.__name__] = {**totals[measure.__name__], "each": each}
        print(json.dumps({measure.__name__: row[measure.__name__]}), flush=True)
    for name in ("wall_s", "cpu_s"):
        row[f"ratio_{name}"] = round(totals["processes"][name] / totals["one_program"][name], 2)
    print(json.dumps(row))
    if args.json:
        write_rows(args.json, [row])


if __name__ == "__main__":
    main()
