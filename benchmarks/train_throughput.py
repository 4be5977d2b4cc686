"""Training speed: environment steps per second after warm-up, without evaluation; time to compile; peak memory.

python benchmarks/train_throughput.py --preset iql vdn qmix ma2e li_ma2e oracle
python benchmarks/train_throughput.py --preset qmix --against replay.kind=prioritised --seconds 5 --rounds 15
python benchmarks/train_throughput.py --preset jaxmarl --seeds 1 2 4 8 16 32 64 -- run.seed_batching=vmapped
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
from host import Row, write_rows

from limae_jax.config import SYSTEM_CONFIGS
from limae_jax.config.compose import load_config
from limae_jax.devices.sharding import put_seeds
from limae_jax.training.plan import group_seeds, group_size, phase_at
from limae_jax.training.setup import clock_at, configure_jax, make_setup

# Systems with an auto-encoder train it once per TD step on every row; their pre-training is shortened here.
_SHORT_PRETRAINING = " mae.pretrain_time_steps=1000"
PRESETS = {
    # The workload of JaxMARL's qmix_rnn: rows of 128 steps, one update of 32 rows per 8 x 128 environment steps.
    "jaxmarl": "system=qmix env.scenario=3m env.num_envs=8 replay.row_length=128 replay.batch_rows=32"
    " replay.capacity_rows=624 replay.min_rows=32 system.hidden_size=64 mixer.embed_dim=32"
    " mixer.hypernet_dim=64 system.updates_per_iteration=1",
    # Each system with the settings of the results in docs/speed.md.
    **{
        name: f"system={name} env.scenario=3s_vs_5z" + (_SHORT_PRETRAINING if made.rule else "")
        for name, made in SYSTEM_CONFIGS.items()
    },
}


def peak_memory_bytes() -> int:
    """Returns the peak memory: of the device if it reports it, else of this process."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return int(stats["peak_bytes_in_use"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Group:
    """The first group of seeds of a preset, warmed up. Groups run in sequence, so one shows the speed of all."""

    def __init__(self, preset: str, num_seeds: int, overrides: list[str]):
        self.config = load_config([*PRESETS[preset].split(), f"run.num_seeds={num_seeds}", *overrides])
        configure_jax(self.config)
        self.setup = make_setup(self.config)
        size = group_size(self.config, jax.default_backend())
        self.seeds = group_seeds(self.config.seeds, size, jax.device_count())[0]
        seeds = put_seeds(self.seeds, self.setup.mesh)
        self.setup.start_compiling(seeds, self.setup.plans)
        self._state = self.setup.init(seeds)
        self._iteration = 0
        while phase_at(self.setup.plans, self._iteration).end is not None:
            self._run_chunk()
        self._run_chunk()

    def _run_chunk(self) -> None:
        plan = phase_at(self.setup.plans, self._iteration)
        self._state, _ = self.setup.chunks[plan.phase.name](self._state, clock_at(self._iteration))
        self._iteration += plan.iterations_per_chunk
        jax.block_until_ready(self._state)

    def _env_steps(self) -> int:
        return int(np.sum(np.asarray(self._state.counters.env_steps)))

    def env_steps_per_s(self, seconds: float) -> float:
        """Returns the real environment steps of all seeds of the group per second, updates included."""
        first, began = self._env_steps(), time.perf_counter()
        while time.perf_counter() - began < seconds:
            self._run_chunk()
        return (self._env_steps() - first) / (time.perf_counter() - began)


def make_row(preset: str, num_seeds: int, group: Group, rate: float) -> Row:
    """Returns one row of the table. `seconds_per_million` is the time in which every seed makes a million steps."""
    # Groups of seeds run in sequence, each at this speed.
    return {
        "preset": preset,
        "system": group.config.system.name,
        "scenario": group.config.env.scenario,
        "seeds": num_seeds,
        "env_steps_per_s": round(rate, 1),
        "seconds_per_million": round(1e6 * num_seeds / rate, 1),
        "compile_s": round(group.setup.compiler.seconds, 2),
        "peak_memory_bytes": peak_memory_bytes(),
        "seeds_at_once": len(group.seeds),
        "chunk_compile_s": round(group.setup.compiler.seconds_of["train"], 2),
    }


def alternate(preset: str, num_seeds: int, args: argparse.Namespace) -> list[Row]:
    """Measures our speed and that of JaxMARL's script, in turn in this process."""
    from jaxmarl_qmix import JaxMarlQmix

    ours = Group(preset, num_seeds, args.overrides)
    theirs = JaxMarlQmix(args.jaxmarl, ours.config.env.scenario, num_seeds)
    rates = [(ours.env_steps_per_s(args.seconds), theirs.env_steps_per_s()) for _ in range(args.rounds)]
    own, other = (statistics.median(column) for column in zip(*rates, strict=True))
    row = make_row(preset, num_seeds, ours, own)
    row["rounds"] = [round(rate) for rate, _ in rates]
    their_row = {**row, "system": "jaxmarl qmix_rnn", "env_steps_per_s": round(other, 1), "seeds_at_once": num_seeds}
    their_row |= {"compile_s": round(theirs.compile_s, 2), "chunk_compile_s": None, "peak_memory_bytes": None}
    their_row["seconds_per_million"] = round(1e6 * num_seeds / other, 1)
    their_row["rounds"] = [round(rate) for _, rate in rates]
    row["ratio_to_jaxmarl"] = round(statistics.median(a / b for a, b in rates), 3)
    return [row, their_row]


def against(preset: str, num_seeds: int, args: argparse.Namespace) -> list[Row]:
    """Measures the speed with the settings, and with --against as well, in turn in this process."""
    empty: list[str] = []
    groups = [Group(preset, num_seeds, [*args.overrides, *more]) for more in (empty, args.against)]
    rates = [[group.env_steps_per_s(args.seconds) for group in groups] for _ in range(args.rounds)]
    rows = []
    for group, own in zip(groups, zip(*rates, strict=True), strict=True):
        row = make_row(preset, num_seeds, group, statistics.median(own))
        rows.append(row | {"rounds": [round(rate) for rate in own]})
    rows[1]["settings"] = args.against
    rows[1]["ratio_to_first"] = round(statistics.median(second / first for first, second in rates), 3)
    return rows


def in_a_process_of_its_own(args: argparse.Namespace, preset: str, num_seeds: int) -> list[Row]:
    """Measures the rows for one preset and number of seeds in a new process."""
    options = ["--preset", preset, "--seeds", str(num_seeds), "--seconds", str(args.seconds)]
    options += ["--rounds", str(args.rounds)]
    if args.jaxmarl:
        options += ["--jaxmarl", str(args.jaxmarl)]
    if args.against:
        options += ["--against", *args.against]
    command = [sys.executable, __file__, *options, "--", *args.overrides]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def show(rows: list[Row]) -> list[Row]:
    """Prints one JSON object per row."""
    for row in rows:
        print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), nargs="+", default=["jaxmarl"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=20.0, help="time to measure each row")
    parser.add_argument("--jaxmarl", type=Path, help="a JaxMARL checkout: measure its qmix_rnn in turn with ours")
    parser.add_argument("--against", nargs="+", help="further settings: measure in turn with and without them")
    parser.add_argument("--rounds", type=int, default=3, help="rounds with --jaxmarl or --against; takes the median")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("overrides", nargs="*", help="settings as for limae-jax train")
    args = parser.parse_args()
    rows: list[Row] = []
    if len(args.preset) * len(args.seeds) > 1:
        # One process per row: the number of CPU devices is fixed when jax starts, and peak memory is per process.
        for preset, num_seeds in itertools.product(args.preset, args.seeds):
            rows += show(in_a_process_of_its_own(args, preset, num_seeds))
    elif args.against:
        rows = show(against(args.preset[0], args.seeds[0], args))
    elif args.jaxmarl:
        rows = show(alternate(args.preset[0], args.seeds[0], args))
    else:
        group = Group(args.preset[0], args.seeds[0], args.overrides)
        rows = show([make_row(args.preset[0], args.seeds[0], group, group.env_steps_per_s(args.seconds))])
    if args.json:
        write_rows(args.json, rows)


if __name__ == "__main__":
    main()
