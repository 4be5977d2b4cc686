"""Cost of the auto-encoder: one gradient step by agents, window length and seeds; and the masking score alone.

python benchmarks/mae_cost.py --json benchmarks/results/mae_cost.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from host import Row, write_rows

from limae_jax.config.compose import load_config
from limae_jax.keys import Stream, stream_key
from limae_jax.losses.td import agent_td_errors
from limae_jax.masking.base import MaskInputs
from limae_jax.masking.load import make_rule
from limae_jax.systems.base import LearnerState, Step
from limae_jax.training.loop import SeedState, init_seed, run_iteration
from limae_jax.training.setup import Setup, clock_at, make_setup
from limae_jax.types import Counters, Rows, Sample

_SMALL = ["replay.capacity_rows=64", "replay.min_rows=32"]


def milliseconds(call: Callable[[], Any], rounds: int) -> float:
    """Returns the median time of a call."""
    jax.block_until_ready(call())
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return round(1e3 * statistics.median(times), 2)


def prepared(setup: Setup, num_seeds: int) -> tuple[Any, Any]:
    """Returns learners and batches [S, ...] after filling the replay by random play."""
    parts, warmup = setup.parts, setup.plans[0]

    def fill(seed: jax.Array) -> tuple[Any, Any]:
        state = init_seed(parts, seed)

        def collect(state: SeedState, index: jax.Array) -> tuple[SeedState, None]:
            return run_iteration(parts, warmup.phase, state, clock_at(0).replace(iteration=index))[0], None

        state, _ = jax.lax.scan(collect, state, jnp.arange(8))
        return state, parts.replay.sample(state.replay, stream_key(seed, Stream.REPLAY), state.counters)

    state, batch = jax.jit(lambda seeds: jax.lax.map(fill, seeds))(jnp.arange(num_seeds))
    return state, batch


def measure_update(overrides: list[str], num_seeds: int, rounds: int) -> Row:
    """Measures time and working memory of one gradient step of all seeds at once."""
    setup = make_setup(load_config([*_SMALL, *overrides]))
    state, batch = prepared(setup, num_seeds)
    learn: Any = setup.plans[-1].phase.learn

    def step(learner: LearnerState, batch: Sample, counters: Counters, key: jax.Array) -> Step:
        return learn.update(learner, batch, counters, key)

    keys = jax.random.split(jax.random.key(0), num_seeds)
    arguments: Any = (state.learner, batch, state.counters, keys)
    program: Any = jax.vmap(step)
    if num_seeds == 1:
        program, arguments = step, jax.tree.map(lambda x: x[0], arguments)
    compiled = jax.jit(program).lower(*arguments).compile()
    memory = compiled.memory_analysis()
    return {
        "update_ms": milliseconds(lambda: compiled(*arguments), rounds),
        "working_bytes": int(memory.temp_size_in_bytes) if memory else None,
    }


def measure_score(scenario: str, rounds: int) -> Row:
    """Measures the time of the agents' TD errors and of the rule that chooses by them, for one batch."""
    config = load_config([*_SMALL, "system=li_ma2e", f"env.scenario={scenario}"])
    setup = make_setup(config)
    _, batches = prepared(setup, 1)
    batch = jax.tree.map(lambda x: x[0], batches).rows
    rule = make_rule(config.masking_rule, setup.env.spec.num_agents, config.auto_encoder.window)
    generator = np.random.default_rng(0)
    q, target_q = (jnp.asarray(generator.normal(size=batch.avail.shape), jnp.float32) for _ in range(2))

    @jax.jit
    def choose(q: jax.Array, target_q: jax.Array, batch: Rows) -> jax.Array:
        errors = agent_td_errors(q, target_q, batch.action, batch.avail, batch.reward, batch.terminal, 0.99)
        is_counted = batch.filled[..., None] & batch.alive
        inputs = MaskInputs(errors, is_counted, batch.obs, batch.is_first, batch.filled)
        return rule.select(rule.init(), inputs, jax.random.key(0))[0]

    return {"score_ms": milliseconds(lambda: choose(q, target_q, batch), rounds)}


def main() -> None:
    """Parses the command line and prints one JSON object per row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", nargs="+", default=["3m", "8m", "25m"])
    parser.add_argument("--windows", nargs="+", type=int, default=[1, 3, 5, 10, 20])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    args = parser.parse_args()
    rows: list[Row] = []
    li_ma2e = ["system=li_ma2e", "env.scenario=3m"]

    def add(row: Row) -> None:
        rows.append(row)
        print(json.dumps(row), flush=True)

    for scenario in args.scenarios:
        for system in ("qmix", "ma2e", "li_ma2e"):
            about = {"against": "agents", "scenario": scenario, "system": system}
            add(about | measure_update([f"system={system}", f"env.scenario={scenario}"], 1, args.rounds))
        add({"against": "score", "scenario": scenario} | measure_score(scenario, args.rounds))
    # QMIX with attention, and with reconstruction as well. The rest of LI-MA2E's time is the auto-encoder's training.
    for name, overrides in (
        ("oracle", ["system=oracle", "env.scenario=3m"]),
        ("frozen", [*li_ma2e, "mae.freeze_after_pretraining=true"]),
    ):
        add({"against": "parts", "scenario": "3m", "system": name} | measure_update(overrides, 1, args.rounds))
    for window in args.windows:
        about = {"against": "window", "scenario": "3m", "system": "li_ma2e", "window": window}
        add(about | measure_update([*li_ma2e, f"mae.window={window}"], 1, args.rounds))
    for seeds in args.seeds:
        about = {"against": "seeds", "scenario": "3m", "system": "li_ma2e", "seeds": seeds}
        add(about | measure_update(li_ma2e, seeds, args.rounds))
    if args.json:
        write_rows(args.json, rows)


if __name__ == "__main__":
    main()
