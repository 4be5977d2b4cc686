"""Is a masking score a signal? Agreement between the halves of a batch, and what else explains the score.

limae-jax train system=qmix env.scenario=3m run.num_seeds=3 run.total_env_steps=200000 checkpoint.keep_replay=true
python benchmarks/masking_signal.py runs/qmix_3m

For batches from the replay of a run, with the literal threshold (tolerance 0):

    agreement       mean Jaccard index of the agents that the two halves of a batch choose
    chance          the same if the second half's agents are shuffled
    same_highest    how often both halves give the same agent the highest score; by chance 1 / agents
    survival        correlation of an agent's score with the share of steps that it lives, both less the team's mean
    unit_type       share of the variance of the steps' scores, less the step's mean, that the unit type explains
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from host import Row, write_rows

from limae_jax.environments.smax import OWN_FEATURES
from limae_jax.masking.base import MaskInputs
from limae_jax.masking.scores import MaskUnits, above_mean, agent_mean, step_mean
from limae_jax.masking.signals import SIGNALS
from limae_jax.runs.directory import group_directory, groups_as_begun
from limae_jax.runs.stored import read_run
from limae_jax.systems.build import make_spec
from limae_jax.systems.masked_training import mask_inputs
from limae_jax.systems.value_based import ValueBasedCore
from limae_jax.training.group import GroupTrainer
from limae_jax.training.setup import Setup, devices_for, make_setup
from limae_jax.types import PyTree, Rows

_SHARE = MaskUnits("batch", 1)
_SHUFFLES = 20


class _Silent:
    def warning(self, text: str) -> None:
        """Stops: a damaged checkpoint would be measured in part."""
        raise SystemExit(text)


def halves(core: ValueBasedCore, learner: Any, rows: Rows) -> list[MaskInputs]:
    """Returns what the rules see of each half of a batch."""
    start, inputs = core.read(rows)
    errors, _ = core.td_errors(learner.params, learner.target_params, rows, start, inputs)
    seen = mask_inputs(rows, errors)
    middle = rows.filled.shape[1] // 2
    return [jax.tree.map(lambda x, part=part: x[:, part], seen) for part in (slice(0, middle), slice(middle, None))]


def observe(setup: Setup, core: ValueBasedCore, state: Any, key: jax.Array) -> PyTree:
    """Returns of a batch the scores and choices [scores, 2, A], survival [2, A], and unit types' shares [scores]."""
    rows = setup.parts.replay.sample(state.replay, key, state.counters).rows
    seen = halves(core, state.learner, rows)
    survival = jnp.stack([jnp.sum(x.is_counted, (0, 1)) / jnp.maximum(jnp.sum(x.filled), 1) for x in seen])
    scores, chosen, types = [], [], []
    for signal in SIGNALS.values():
        values = [signal(half) for half in seen]
        means = [agent_mean(v, half.is_counted, _SHARE)[0, 0] for v, half in zip(values, seen, strict=True)]
        scores.append(jnp.stack(means))
        chosen.append(jnp.stack([above_mean(mean, 0.0, 1)[0] for mean in means]))
        types.append(explained_by_type(values[0], seen[0]))
    return jnp.stack(scores), jnp.stack(chosen), survival, jnp.stack(types)


def explained_by_type(values: jax.Array, seen: MaskInputs) -> jax.Array:
    """Returns the share [] of the variance of scores, relative to their step's mean, that lies between unit types."""
    counted = seen.is_counted
    own = jnp.where(counted, values - step_mean(values, counted), 0.0)
    # The last own features are the one-hot unit type; health, position and cooldown come before.
    kind = seen.obs[..., -OWN_FEATURES:][..., 4:] * counted[..., None]
    total = jnp.einsum("tba,tbak->k", own, kind)
    between = jnp.sum(jnp.square(total) / jnp.maximum(jnp.sum(kind, (0, 1, 2)), 1))
    return between / jnp.maximum(jnp.sum(jnp.square(own)), 1e-12)


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the mean over batches [N, A] of the number of agents in both sets, divided by that in either."""
    return float(np.mean(np.sum(one & other, -1) / np.sum(one | other, -1)))


def summary(scores: np.ndarray, chosen: np.ndarray, survival: np.ndarray, types: np.ndarray) -> list[Row]:
    """Returns a row for each score; leading axis [N] of batches in all arguments, see `observe`."""
    generator, rows = np.random.default_rng(0), []
    for index, name in enumerate(SIGNALS):
        one, other = chosen[:, index, 0], chosen[:, index, 1]
        shuffled = [jaccard(one, generator.permuted(other, axis=-1)) for _ in range(_SHUFFLES)]
        score = scores[:, index] - scores[:, index].mean(-1, keepdims=True)
        lives = survival - survival.mean(-1, keepdims=True)
        row = {
            "score": name,
            "agreement": jaccard(one, other),
            "chance": float(np.mean(shuffled)),
            "same_highest": float(np.mean(scores[:, index, 0].argmax(-1) == scores[:, index, 1].argmax(-1))),
            "survival": float(np.corrcoef(score.ravel(), lives.ravel())[0, 1]),
            "unit_type": float(types[:, index].mean()),
        }
        rows.append({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})
    return rows


def measure(run_dir: Path, num_batches: int) -> list[Row]:
    """Returns a row for each seed and score of a run that kept its replay."""
    config = read_run(run_dir)
    setup = make_setup(config, devices_for(config, run_dir, config.seeds))
    core = ValueBasedCore(make_spec(config, setup.parts.env.spec), config, setup.parts.env.spec)  # type: ignore[arg-type]
    look = jax.jit(lambda state, key: observe(setup, core, state, key))
    rows: list[Row] = []
    for group in groups_as_begun(run_dir, [], setup.mesh.size):
        trainer = GroupTrainer(setup, group, len(group), group_directory(run_dir, group), _Silent())  # type: ignore[arg-type]
        for index, seed in enumerate(group):
            state = jax.tree.map(lambda x, index=index: x[index], trainer.state)
            keys = jax.random.split(jax.random.fold_in(jax.random.key(20_261_201), int(seed)), num_batches)
            found = [np.stack(x) for x in zip(*(jax.device_get(look(state, key)) for key in keys), strict=True)]
            where = {"scenario": config.env.scenario, "system": config.system.name, "seed": int(seed)}
            rows += [where | row for row in summary(*found)]
    return rows


def main() -> None:
    """Parses the command line and prints one JSON object per row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dirs", metavar="RUN_DIR", type=Path, nargs="+")
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    args = parser.parse_args()
    rows = [row for run_dir in args.run_dirs for row in measure(run_dir, args.batches)]
    for row in rows:
        print(json.dumps(row), flush=True)
    if args.json:
        write_rows(args.json, rows)


if __name__ == "__main__":
    main()
