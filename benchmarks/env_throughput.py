"""Environment steps per second of random legal play, without a learner: our SMAX and jaxmarl's.

python benchmarks/env_throughput.py --json benchmarks/results/env_throughput.json

Both play the same battles in one compiled scan, in turn. jaxmarl's own `step` resets within the step that ends an
episode; here the reset is a separate time step, which is not counted.
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
from host import Row, write_rows

from limae_jax.config import SmaxConfig
from limae_jax.environments import make_env
from limae_jax.environments.jaxmarl import import_jaxmarl, strongly_typed
from limae_jax.environments.vector import VectorEnv
from limae_jax.systems.acting import random_action
from limae_jax.types import PyTree, Timestep

_STEPS = 64  # per call of the compiled program

# (state, key) -> (state, environment steps made)
Play = Callable[[Any, jax.Array], tuple[Any, jax.Array]]


def play_here(scenario: str, num_envs: int) -> tuple[Any, Play]:
    """Returns the start state and the scanned step of this package's environment."""
    env = VectorEnv(make_env(SmaxConfig(scenario=scenario)), num_envs)

    def step(carry: tuple[PyTree, Timestep], key: jax.Array) -> tuple[tuple[PyTree, Timestep], jax.Array]:
        states, seen = carry
        action_key, env_key = jax.random.split(key)
        action = random_action(seen.avail, jax.random.uniform(action_key, seen.avail.shape[:-1]))
        return env.step(states, seen, action, env_key), jnp.sum(~seen.is_last)

    return env.reset(jax.random.key(0)), _scanned(step)


def play_jaxmarl(scenario: str, num_envs: int) -> tuple[Any, Play]:
    """Same as `play_here` for jaxmarl's environment, with the options that this package passes on by default."""
    smax = import_jaxmarl("jaxmarl.environments.smax")
    units = smax.map_name_to_scenario(scenario)
    env = smax.HeuristicEnemySMAX(
        scenario=units, see_enemy_actions=True, walls_cause_death=True, attack_mode="closest", max_steps=100
    )

    # Returns jaxmarl's state, and the observation, reward and end of each agent.
    def play_one(state: PyTree, key: jax.Array) -> tuple[PyTree, PyTree]:
        action_key, env_key = jax.random.split(key)
        avail = env.get_avail_actions(state)
        stacked = jnp.stack([avail[agent] for agent in env.agents]).astype(bool)
        action = random_action(stacked, jax.random.uniform(action_key, stacked.shape[:-1]))
        obs, state, reward, done, _ = env.step(env_key, state, dict(zip(env.agents, action, strict=True)))
        return state, (obs, reward, done)

    def step(carry: tuple[PyTree, PyTree], key: jax.Array) -> tuple[tuple[PyTree, PyTree], jax.Array]:
        # The carry has all that a learner would read, so that none of it is optimised away.
        return jax.vmap(play_one)(carry[0], jax.random.split(key, num_envs)), jnp.int32(num_envs)

    keys = jax.random.split(jax.random.key(0), num_envs)
    _, states = jax.vmap(env.reset)(keys)
    return jax.vmap(play_one)(strongly_typed(states), keys), _scanned(step)


def _scanned(step: Callable[[Any, jax.Array], tuple[Any, jax.Array]]) -> Play:
    def play(state: PyTree, key: jax.Array) -> tuple[PyTree, jax.Array]:
        state, counts = jax.lax.scan(step, state, jax.random.split(key, _STEPS))
        return state, jnp.sum(counts)

    return play


class Player:
    """A compiled program and the state of its battles."""

    def __init__(self, start: Any, play: Play):
        self._state, self._calls = start, 0
        began = time.perf_counter()
        self._program = jax.jit(play).lower(start, jax.random.key(0)).compile()
        self.compile_s = time.perf_counter() - began
        self._call()

    def _call(self) -> int:
        self._calls += 1
        self._state, count = self._program(self._state, jax.random.key(self._calls))
        return int(count)

    def env_steps_per_s(self, seconds: float) -> float:
        """Returns the environment steps per second of all copies together."""
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            count += self._call()
        return count / (time.perf_counter() - began)


def measure(scenario: str, num_envs: int, seconds: float, rounds: int) -> Row:
    """Measures both in turn, and returns the medians."""
    players = {
        "limae_jax": Player(*play_here(scenario, num_envs)),
        "jaxmarl": Player(*play_jaxmarl(scenario, num_envs)),
    }
    rates = [{name: player.env_steps_per_s(seconds) for name, player in players.items()} for _ in range(rounds)]
    row: Row = {"scenario": scenario, "num_envs": num_envs}
    for name, player in players.items():
        row[f"{name}_env_steps_per_s"] = round(statistics.median(rate[name] for rate in rates), 1)
        row[f"{name}_compile_s"] = round(player.compile_s, 2)
    row["ratio"] = round(statistics.median(rate["limae_jax"] / rate["jaxmarl"] for rate in rates), 3)
    return row


def main() -> None:
    """Parses the command line and prints one JSON object per row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", nargs="+", default=["3m", "3s_vs_5z", "8m"])
    parser.add_argument("--envs", type=int, nargs="+", default=[8, 64, 512], help="copies in parallel")
    parser.add_argument("--seconds", type=float, default=2.0, help="time to measure each of both, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    args = parser.parse_args()
    rows: list[Row] = []
    for scenario in args.scenarios:
        for num_envs in args.envs:
            rows.append(measure(scenario, num_envs, args.seconds, args.rounds))
            print(json.dumps(rows[-1]), flush=True)
    if args.json:
        write_rows(args.json, rows)


if __name__ == "__main__":
    main()
