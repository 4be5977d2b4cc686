"""Training speed: environment steps per second after warm-up, without evaluation.

python benchmarks/train_throughput.py --preset jaxmarl --seeds 1 2 4 8 --json results.json
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import jax
import numpy as np

from limae_jax.compose import load_config
from limae_jax.training.plan import group_size
from limae_jax.training.setup import Setup, clock_at, configure_jax, make_setup
from limae_jax.training.sharding import group_seeds, put_seeds

PRESETS = {
    # The work of JaxMARL's qmix_rnn: rows of 128 steps, one update of 32 rows for 8 x 128 environment steps.
    "jaxmarl": "system=qmix env.scenario=3m env.num_envs=8 replay.row_length=128 replay.batch_rows=32"
    " replay.capacity_rows=624 replay.min_rows=32 system.hidden_size=64 system.mixer_embed_dim=32"
    " system.mixer_hypernet_dim=64 system.updates_per_iteration=1",
    # The settings that the results in the README were made with.
    "qmix": "system=qmix env.scenario=3s_vs_5z",
}


def peak_memory_bytes() -> int:
    """Most memory ever held: on the device if it tells, else by this process."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return int(stats["peak_bytes_in_use"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_group(setup: Setup, seeds: np.ndarray, seconds: float) -> tuple[int, float]:
    """Trains a group of seeds for a while; returns environment steps and seconds, warm-up left out."""
    state = setup.init(put_seeds(seeds, setup.mesh))
    iteration = 0
    for plan in setup.plans[:-1]:
        while plan.end is not None and iteration < plan.end:
            state, _ = setup.chunks[plan.phase.name](state, clock_at(iteration))
            iteration += plan.iterations_per_chunk
    last = setup.plans[-1]
    program = setup.chunks[last.phase.name]
    state, _ = program(state, clock_at(iteration))
    first = int(np.sum(np.asarray(state.counters.env_steps)))
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        iteration += last.iterations_per_chunk
        state, _ = program(state, clock_at(iteration))
        jax.block_until_ready(state.counters.env_steps)
    elapsed = time.perf_counter() - began
    return int(np.sum(np.asarray(state.counters.env_steps))) - first, elapsed


def measure(preset: str, num_seeds: int, seconds: float, overrides: list[str]) -> dict[str, object]:
    """One row of the table."""
    config = load_config([*PRESETS[preset].split(), f"run.num_seeds={num_seeds}", *overrides])
    configure_jax(config)
    setup = make_setup(config)
    groups = group_seeds(config.seeds, group_size(config, jax.default_backend()), jax.device_count())
    # Groups run one after the other, so one of them tells the speed of all.
    steps, elapsed = measure_group(setup, groups[0], seconds)
    return {
        "preset": preset,
        "system": config.system.name,
        "scenario": config.env.scenario,
        "seeds": num_seeds,
        "env_steps_per_s": round(steps / elapsed, 1),
        "compile_s": round(setup.compile_s, 2),
        "peak_memory_bytes": peak_memory_bytes(),
        "seeds_at_once": len(groups[0]),
        "chunk_compile_s": round(setup.chunks["train"].compile_s, 2),
        "backend": jax.default_backend(),
        "device": jax.local_devices()[0].device_kind,
        "jax": jax.__version__,
    }


def main() -> None:
    """Parses the command line and prints one JSON object a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="jaxmarl")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=20.0, help="to measure each row for")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    parser.add_argument("overrides", nargs="*", help="settings as for limae-jax train")
    args = parser.parse_args()
    rows = []
    for num_seeds in args.seeds:
        rows.append(measure(args.preset, num_seeds, args.seconds, args.overrides))
        print(json.dumps(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
