"""Gradient steps until the blind cliffwalk is solved, with uniform and with prioritised replay.

python benchmarks/cliffwalk.py --json benchmarks/results/cliffwalk.json
python benchmarks/cliffwalk.py --network -- system.learning_rate=1e-3 system.target_update_env_steps=25

As in Schaul et al. 2016, section 3.1: the replay holds the steps of all 2 ** length sequences of actions, each played
until it fails or succeeds, and nothing is added during learning. One of its 2 ** (length + 1) - 2 rows has the reward.
As in the paper, a batch is one row (its importance weight is 1, the largest of its batch), the discount is
1 - 1 / length, and the learner is a table of values, initialised with normal noise of 0.1, with steps of a quarter of
the TD error. --network uses the system's own network and Adam instead; every slot is then marked as an episode's first,
so that the network sees only the stage. Both use the system's own update.

Solved: the greedy policy is right at every stage and the mean squared error of the values of the right actions, which
are gamma ** (steps after this one), is at most --error. This is checked at every 25th step; an unsolved seed counts as
--steps.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from host import Row, write_rows

from limae_jax.catalogue.matrix_games import right_action
from limae_jax.config import ReplayConfig, TrainConfig
from limae_jax.config.compose import load_config
from limae_jax.environments import make_env
from limae_jax.keys import Stream, stream_key
from limae_jax.networks.agent import AgentInputs
from limae_jax.replay.build import build_replay
from limae_jax.systems.base import ActorCarry
from limae_jax.systems.build import make_spec
from limae_jax.systems.value_based import ValueBasedCore
from limae_jax.systems.value_spec import ValueBasedSpec
from limae_jax.types import Counters, Rows

LOOK_EVERY = 25
KINDS = ("uniform", "prioritised")


def config_of(kind: str, length: int, overrides: list[str]) -> TrainConfig:
    """Returns the experiment's settings, with a replay for the rows of all sequences."""
    rows = 2 ** (length + 1) - 2
    sizes = [
        f"env.length={length}",
        f"system.gamma={1 - 1 / length}",
        f"replay.capacity_rows={rows}",
        f"replay.min_rows={min(rows, 64)}",
    ]
    config = load_config(["experiment=prioritised_cliffwalk", *sizes, *overrides])
    if kind == "uniform":
        shared = ("row_length", "capacity_rows", "batch_rows", "min_rows")
        uniform = ReplayConfig(**{name: getattr(config.replay, name) for name in shared})
        return dataclasses.replace(config, replay=uniform)
    return config


class TableAgent(nn.Module):
    """A table of utilities by stage for all agents, with the interface of `GruAgent`."""

    num_actions: int

    @nn.compact
    def __call__(self, carry: jax.Array, inputs: AgentInputs) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """Looks up the utilities [T, B, A, U]; see `GruAgent`."""
        table = self.param("table", nn.initializers.normal(0.1), (inputs.obs.shape[-1], self.num_actions))
        return carry, inputs.obs @ table, {}

    def initial_carry(self, num_rows: int, num_agents: int) -> jax.Array:
        """Returns a dummy carry: a table has no memory."""
        return jnp.zeros((num_rows, num_agents, 1))


# Independent Q-learning with a table and plain gradient steps.
TABLE = ValueBasedSpec(
    mixer=None,
    make_agent=lambda env, config: TableAgent(env.num_actions),
    optimisers={"td": lambda config: optax.sgd(config.learning_rate)},
)


def all_steps(length: int, hidden_size: int) -> Rows:
    """Returns rows [2, 2 ** (length + 1) - 2] of one step each: 2 ** (length - s) sequences visit stage s."""
    stages = np.repeat(np.arange(length), 2 ** (length - np.arange(length)))
    right = np.array([right_action(stage) for stage in range(length)])
    # Half of the sequences that reach a stage take its right action.
    goes_on = np.concatenate([np.arange(2 ** (length - stage)) % 2 == 0 for stage in range(length)])
    one_hot = np.eye(length + 1, length, dtype=np.float32)
    after = np.where(goes_on, stages + 1, length)
    state = jnp.asarray(np.stack([one_hot[stages], one_hot[after]]))
    count, is_step = len(stages), np.array([[True], [False]])
    action = np.where(goes_on, right[stages], 1 - right[stages])
    return Rows(
        obs=state[:, :, None],
        state=state,
        avail=jnp.ones((2, count, 1, 2), bool),
        alive=jnp.ones((2, count, 1), bool),
        action=jnp.asarray(np.stack([action, action * 0])[..., None], jnp.int32),
        reward=jnp.asarray(is_step * (goes_on & (stages == length - 1)), jnp.float32),
        terminal=jnp.asarray(is_step & (after == length)),
        truncated=jnp.zeros((2, count), bool),
        is_first=jnp.ones((2, count), bool),
        filled=jnp.asarray(np.broadcast_to(is_step, (2, count))),
        start=ActorCarry(jnp.zeros((count, 1, hidden_size)), jnp.full((count, 1), -1, jnp.int32)),
    )


def steps_to_solve(config: TrainConfig, is_table: bool, seeds: int, steps: int, error: float) -> np.ndarray:
    """Returns the gradient steps [seeds] until solved, at most `steps`."""
    env = make_env(config.env)
    length = env.spec.state_size
    spec: Any = TABLE if is_table else make_spec(config, env.spec)
    core, replay = ValueBasedCore(spec, config, env.spec), build_replay(config)
    rows = all_steps(length, core.initial_carry(1).hidden.shape[-1])
    # One row with the right action per stage.
    first = np.concatenate([[0], np.cumsum(2 ** (length - np.arange(length)))[:-1]])
    walk = jax.tree.map(lambda x: x[:, first], rows.replace(start=())).replace(
        start=jax.tree.map(lambda x: x[first], rows.start)
    )
    right = jnp.asarray([right_action(stage) for stage in range(length)])
    values = config.system.gamma ** jnp.arange(length - 1, -1, -1)

    def is_solved(params: Any) -> jax.Array:
        start, inputs = core.read(walk)
        q = core.unroll(params, start, inputs)[0][0, :, 0]
        chosen = jnp.take_along_axis(q, right[:, None], axis=1)[:, 0]
        return jnp.all(jnp.argmax(q, axis=1) == right) & (jnp.mean(jnp.square(chosen - values)) <= error)

    def solve(seed: jax.Array) -> jax.Array:
        stored = replay.add(replay.init(rows), rows)
        ring, rest = replay.split(stored)

        def step(carry: Any, _: None) -> tuple[Any, None]:
            learner, rest, count = carry
            zero = jnp.zeros((), jnp.int32)
            before, after = (Counters(steps, zero, steps, zero) for steps in (count, count + 1))
            stored = replay.join(ring, rest)
            batch = replay.sample(stored, stream_key(seed, Stream.REPLAY, count), before)
            found = core.update(learner, batch, before, stream_key(seed, Stream.UPDATE, count))
            rest = replay.split(replay.update_priority(stored, batch, found.priority))[1]
            return (core.after_iteration(found.state, before, after), rest, count + 1), None

        def look(carry: Any, _: None) -> tuple[Any, jax.Array]:
            (learner, rest, count), solved_at = carry
            small, _ = jax.lax.scan(step, (learner, rest, count), None, length=LOOK_EVERY)
            solved_at = jnp.where(is_solved(small[0].params), jnp.minimum(solved_at, small[2]), solved_at)
            return small, solved_at

        def goes_on(carry: Any) -> jax.Array:
            return (carry[1] == steps) & (carry[0][2] < steps)

        learner = core.init(stream_key(seed, Stream.INIT))
        begin = ((learner, rest, jnp.zeros((), jnp.int32)), jnp.full((), steps, jnp.int32))
        return jax.lax.while_loop(goes_on, lambda carry: look(carry, None), begin)[1]

    return np.asarray(jax.jit(jax.vmap(solve))(jnp.arange(seeds, dtype=jnp.int32)))


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, nargs="+", default=[10])
    parser.add_argument("--network", action="store_true", help="use a network instead of a table")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200_000, help="maximum number of gradient steps")
    parser.add_argument("--error", type=float, default=1e-3, help="largest mean squared error of the values")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("overrides", nargs="*", help="settings as for limae-jax train")
    args = parser.parse_args()
    rows: list[Row] = []
    for length in args.length:
        for kind in KINDS:
            config = config_of(kind, length, args.overrides)
            found = steps_to_solve(config, not args.network, args.seeds, args.steps, args.error)
            learner = "network" if args.network else "table"
            row: Row = {
                "learner": learner,
                "length": length,
                "replay": kind,
                "median": statistics.median(found.tolist()),
            }
            row |= {"solved": int((found < args.steps).sum()), "steps": found.tolist()}
            rows.append(row)
            print(json.dumps(row), flush=True)
    if args.json:
        write_rows(args.json, rows)


if __name__ == "__main__":
    main()
