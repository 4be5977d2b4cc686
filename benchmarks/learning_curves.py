"""Learning curves of finished runs: a table, a CSV file and a picture.

python benchmarks/learning_curves.py runs/qmix_3m runs/qmix_8m runs/qmix_3s_vs_4z --out benchmarks/results
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib

from limae_jax.config_file import read_run
from limae_jax.metrics.jsonl import read_rows

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLUMNS = ("seed", "env_steps", "grad_steps", "test_win_rate", "test_return_mean", "test_length_mean", "wall_s")
GOAL = 0.8
Row = dict[str, Any]


def by_seed(rows: list[Row]) -> dict[int, list[Row]]:
    """The rows of each seed, in order."""
    return {seed: [row for row in rows if row["seed"] == seed] for seed in sorted({row["seed"] for row in rows})}


def first_reaching(rows: list[Row], field: str) -> float | None:
    """`field` at a seed's first evaluation with at least 80 % wins; None if there is none."""
    return next((row[field] for row in rows if row["test_win_rate"] >= GOAL), None)


def summarise(run: Path, rows: list[Row]) -> Row:
    """One line of the table."""
    config, seeds = read_run(run), by_seed(rows)
    last = [seed_rows[-1] for seed_rows in seeds.values()]
    return {
        "run": run.name,
        "system": config.system.name,
        "scenario": config.env.scenario,
        "env_steps": config.run.total_env_steps,
        "seeds": sorted(seeds),
        "episodes": last[0]["test_episodes"],
        "final_win_rate": [round(row["test_win_rate"], 3) for row in last],
        "median_final_win_rate": round(statistics.median(row["test_win_rate"] for row in last), 3),
        "env_steps_to_80": [first_reaching(seed_rows, "env_steps") for seed_rows in seeds.values()],
        "seconds_to_80": [first_reaching(seed_rows, "wall_s") for seed_rows in seeds.values()],
        "env_steps_per_s": round(statistics.median(row["env_steps_per_s"] for row in rows), 0),
        "versions": json.loads((run / "versions.json").read_text()),
    }


def draw(runs: dict[Path, list[Row]], path: Path) -> None:
    """Win rate against environment steps: a line for each seed, a picture for each run."""
    figure, axes = plt.subplots(1, len(runs), figsize=(4 * len(runs), 3), sharey=True, squeeze=False)
    for axis, (run, rows) in zip(axes[0], runs.items(), strict=True):
        for seed, seed_rows in by_seed(rows).items():
            steps = [row["env_steps"] / 1000 for row in seed_rows]
            axis.plot(steps, [row["test_win_rate"] for row in seed_rows], label=f"seed {seed}", linewidth=1.3)
        axis.axhline(GOAL, color="grey", linewidth=0.6, linestyle="--")
        config = read_run(run)
        axis.set(title=f"{config.system.name}, {config.env.scenario}", xlabel="thousand env steps", ylim=(-0.02, 1.02))
        axis.grid(alpha=0.25)
    axes[0][0].set_ylabel("win rate (greedy)")
    axes[0][-1].legend(frameon=False, fontsize="small", loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--name", default="learning", help="of the files")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    runs = {run: read_rows(run / "metrics.jsonl") for run in args.runs}
    table = [summarise(run, rows) for run, rows in runs.items()]
    (args.out / f"{args.name}.json").write_text(json.dumps(table, indent=1) + "\n")
    with (args.out / f"{args.name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["run", *COLUMNS], extrasaction="ignore")
        writer.writeheader()
        writer.writerows({"run": run.name, **row} for run, rows in runs.items() for row in rows)
    draw(runs, args.out / f"{args.name}.png")
    for line in table:
        print(json.dumps({name: value for name, value in line.items() if name != "versions"}))


if __name__ == "__main__":
    main()
