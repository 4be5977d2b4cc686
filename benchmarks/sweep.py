"""A grid over learning rates in one program against a process for each: wall time and processor time, cache cold.

python benchmarks/sweep.py --json benchmarks/results/sweep.json

Both train the same cells with the same seeds to the same number of environment steps, with all that a run does:
starting Python, compiling, evaluating, saving. Every process begins with an empty compilation cache of its own.
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

from limae_jax.training.run_directory import versions

RATES = (1e-4, 2e-4, 3e-4, 5e-4, 7e-4, 1e-3, 2e-3, 3e-3)
# The work of JaxMARL's qmix_rnn, see train_throughput.py.
WORK = (
    "system=qmix env.scenario=3m env.num_envs=8 replay.row_length=128 replay.batch_rows=32 replay.capacity_rows=624"
    " replay.min_rows=32 system.updates_per_iteration=1 evaluation.every_env_steps=50_000"
)


def run(command: Sequence[str], cache: Path) -> dict[str, float]:
    """Runs limae-jax to its end: seconds of wall time, and of processor time of all cores."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    subprocess.run(
        [sys.executable, "-m", "limae_jax", *command], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"wall_s": round(time.perf_counter() - began, 1), "cpu_s": round(used, 1)}


def one_program(overrides: Sequence[str], rates: Sequence[float], folder: Path) -> list[dict[str, float]]:
    """All cells as a sweep."""
    grid = f"system.learning_rate={','.join(map(str, rates))}"
    return [run(["sweep", *overrides, grid, f"sweep.dir={folder}/sweep"], folder / "cache")]


def processes(overrides: Sequence[str], rates: Sequence[float], folder: Path) -> list[dict[str, float]]:
    """A process for each cell, one after the other."""
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
    parser.add_argument("--cells", type=int, default=len(RATES), help="learning rates, from the first on")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--env-steps", type=int, default=100_000, help="of each seed")
    parser.add_argument(
        "--processes", type=int, help="cells to run in processes of their own, to save time; default all"
    )
    parser.add_argument("--json", type=Path, help="also write the result there")
    args = parser.parse_args()
    overrides = [*WORK.split(), f"run.num_seeds={args.seeds}", f"run.total_env_steps={args.env_steps}"]
    result: dict[str, object] = {"work": WORK, "learning_rates": RATES[: args.cells], "seeds": args.seeds}
    result |= {"env_steps": args.env_steps, "load_before": os.getloadavg()}
    rates = RATES[: args.cells]
    totals = {}
    for measure, measured in ((one_program, rates), (processes, rates[: args.processes])):
        with tempfile.TemporaryDirectory() as folder:
            each = measure(overrides, measured, Path(folder))
        # Processes that were not run are taken to be as long as the mean of those that were.
        scale = len(rates) / len(measured)
        totals[measure.__name__] = {name: round(scale * sum(one[name] for one in each), 1) for name in each[0]}
        result[measure.__name__] = {**totals[measure.__name__], "cells_run": len(measured), "each": each}
        print(json.dumps({measure.__name__: result[measure.__name__]}), flush=True)
    for name in ("wall_s", "cpu_s"):
        result[f"ratio_{name}"] = round(totals["processes"][name] / totals["one_program"][name], 2)
    result |= {"load_after": os.getloadavg(), "versions": versions()}
    print(json.dumps(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
