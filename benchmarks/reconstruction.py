"""Quality of reconstruction: R2 of auto-encoders on fresh episodes, with each agent seeing only itself.

limae-jax train system=li_ma2e env.scenario=8m run.num_seeds=3 run.total_env_steps=23000 checkpoint.keep_replay=true
python benchmarks/reconstruction.py runs/li_ma2e_8m --policy random
limae-jax resume runs/li_ma2e_8m run.total_env_steps=500000
python benchmarks/reconstruction.py runs/li_ma2e_8m --policy learned
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import jax
import numpy as np
from host import Row, write_rows

from limae_jax.environments import make_env
from limae_jax.evaluation.policy import load_teams
from limae_jax.rollouts.evaluator import play_episodes
from limae_jax.runs.stored import read_run
from limae_jax.systems.build import build_system

# Not a seed of any run: no run has seen these episodes.
_EPISODE_SEED = 20_260_801


def measure(run_dir: Path, policy: str, num_episodes: int) -> list[Row]:
    """Returns a row for each seed of a run, and one with the medians."""
    config = read_run(run_dir)
    env = make_env(config.env)
    system = build_system(config, env.spec)
    teams = load_teams(run_dir, system)
    epsilon = {"random": 1.0, "learned": 0.0}[policy]
    play = jax.jit(lambda params, key: play_episodes(env, system, params, num_episodes, key, epsilon))
    rows: list[Row] = []
    for index in np.flatnonzero(np.isin(teams.seeds, config.seeds)):
        params = jax.tree.map(lambda x, index=index: x[index], teams.params)
        _, quality = play(params, jax.random.fold_in(jax.random.key(_EPISODE_SEED), int(teams.seeds[index])))
        numbers = {name: round(float(value), 4) for name, value in quality.items() if np.isfinite(value)}
        rows.append({"scenario": config.env.scenario, "policy": policy, "seed": int(teams.seeds[index]), **numbers})
    names = [name for name in rows[0] if name.startswith("r2")]
    medians = {name: round(statistics.median(row[name] for row in rows), 4) for name in names}
    return [*rows, {"scenario": config.env.scenario, "policy": policy, "seed": "median", **medians}]


def main() -> None:
    """Parses the command line and prints one JSON object per row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dirs", metavar="RUN_DIR", type=Path, nargs="+")
    parser.add_argument("--policy", choices=("random", "learned"), default="learned")
    parser.add_argument("--episodes", type=int, default=256)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    args = parser.parse_args()
    rows = [row for run_dir in args.run_dirs for row in measure(run_dir, args.policy, args.episodes)]
    for row in rows:
        print(json.dumps(row), flush=True)
    if args.json:
        write_rows(args.json, rows)


if __name__ == "__main__":
    main()
