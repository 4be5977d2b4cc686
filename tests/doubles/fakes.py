"""A game whose every step is known beforehand, and rows that nobody played."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from limae_jax.config import (
    MASKING_CONFIGS,
    MIXER_CONFIGS,
    REPLAY_CONFIGS,
    SYSTEM_CONFIGS,
    SmaxConfig,
    TrainConfig,
)
from limae_jax.networks.windows import History
from limae_jax.systems.base import ActorCarry, Update
from limae_jax.types import ActionSpec, Counters, EnvSpec, Rows, Sample, Timestep

TINY_ENV = EnvSpec(
    "made_up", "made_up", num_agents=2, obs_size=4, state_size=3, actions=ActionSpec(3), episode_limit=10
)


class CountingState(struct.PyTreeNode):
    script: jax.Array
    step: jax.Array


class CountingEnv:
    """Two agents walk through an episode of a script drawn by the reset's key.

    obs of agent i is [script, step, i], state is [script, step]; action (step + i) % 3 is illegal; agent 1 is dead from
    step 2 on. The step from step k with actions a brings 1 + k + 0.1 a_0 + 0.01 a_1.
    """

    lengths = (3, 5, 2)
    is_won = (True, False, True)
    spec = EnvSpec("counting", "counting", 2, 3, 2, ActionSpec(3), max(lengths), ("win",))

    def reset(self, key: jax.Array) -> tuple[CountingState, Timestep]:
        state = CountingState(jax.random.randint(key, (), 0, len(self.lengths)), jnp.zeros((), jnp.int32))
        return state, self._timestep(state, jnp.zeros(()))

    def step(self, state: CountingState, action: jax.Array, key: jax.Array) -> tuple[CountingState, Timestep]:
        reward = 1.0 + state.step + 0.1 * action[0] + 0.01 * action[1]
        state = state.replace(step=state.step + 1)
        return state, self._timestep(state, reward)

    def outcome(self, state: CountingState) -> dict[str, jax.Array]:
        return {"win": jnp.asarray(self.is_won)[state.script].astype(jnp.float32)}

    def _timestep(self, state: CountingState, reward: jax.Array) -> Timestep:
        agents, ends = jnp.arange(2), state.step == jnp.asarray(self.lengths)[state.script]
        is_won = jnp.asarray(self.is_won)[state.script]
        script, step = jnp.broadcast_to(state.script, 2), jnp.broadcast_to(state.step, 2)
        return Timestep(
            obs=jnp.stack([script, step, agents], axis=-1).astype(jnp.float32),
            state=jnp.stack([state.script, state.step]).astype(jnp.float32),
            avail=jnp.arange(3) != ((state.step + agents) % 3)[:, None],
            alive=jnp.stack([jnp.ones((), bool), state.step < 2]),
            reward=jnp.asarray(reward, jnp.float32),
            is_first=state.step == 0,
            terminal=ends & is_won,
            truncated=ends & ~is_won,
        )


def marks(episodes: Sequence[tuple[int, bool]], num_slots: int, skip: int = 0) -> dict[str, np.ndarray]:
    """Boundary flags [T] of a row that is cut out of a stream of episodes.

    Args:
        episodes: (steps, is_won) in turn, again from the front when used up; an episode that is not won is truncated.
            Each takes steps + 1 slots, the last one for its final observation.
        num_slots: T; the last slot is never filled.
        skip: slots of the stream before the row.
    """
    slots = []
    for steps, is_won in itertools.cycle(episodes):
        for step in range(steps):
            is_end = step == steps - 1
            slots.append((step == 0, True, is_end and is_won, is_end and not is_won))
        slots.append((False, False, False, False))
        if len(slots) >= skip + num_slots:
            break
    is_first, filled, terminal, truncated = np.array(slots[skip : skip + num_slots]).T
    filled[-1] = terminal[-1] = truncated[-1] = False
    return {"is_first": is_first, "filled": filled, "terminal": terminal, "truncated": truncated}


def random_marks(generator: np.random.Generator, num_slots: int) -> dict[str, np.ndarray]:
    """Flags of a row out of a random stream of short episodes."""
    episodes = [(int(generator.integers(1, 6)), bool(generator.integers(2))) for _ in range(num_slots)]
    return marks(episodes, num_slots, skip=int(generator.integers(0, 7)))


def made_up_rows(
    seed: int,
    row_marks: Sequence[dict[str, np.ndarray]],
    hidden_size: int,
    env: EnvSpec = TINY_ENV,
    window: int | None = None,
) -> Rows:
    """Rows [T, B, ...] of noise around given boundaries; actions are legal, also where they do not count.

    With a window they start from a history, of 0, 1, ... present steps in turn.
    """
    generator = np.random.default_rng(seed)
    flags = {name: jnp.asarray(np.stack([one[name] for one in row_marks], axis=1)) for name in row_marks[0]}
    num_slots, num_rows = flags["filled"].shape
    shape = (num_slots, num_rows, env.num_agents)
    avail = generator.random((*shape, env.num_actions)) < 0.6
    np.put_along_axis(avail, generator.integers(env.num_actions, size=(*shape, 1)), True, axis=-1)
    action = np.argmax(np.where(avail, generator.random(avail.shape), -1), axis=-1)
    start = ActorCarry(
        jnp.asarray(generator.normal(size=(*shape[1:], hidden_size)), jnp.float32) * 0.5,
        jnp.asarray(generator.integers(-1, env.num_actions, size=shape[1:]), jnp.int32),
        made_up_history(seed, num_rows, env, window) if window else None,
    )
    return Rows(
        obs=jnp.asarray(generator.normal(size=(*shape, env.obs_size)), jnp.float32),
        state=jnp.asarray(generator.normal(size=(*shape[:2], env.state_size)), jnp.float32),
        avail=jnp.asarray(avail),
        alive=jnp.asarray(generator.random(shape) < 0.8),
        action=jnp.asarray(action, jnp.int32),
        reward=jnp.asarray(generator.normal(size=shape[:2]), jnp.float32),
        start=start,
        **flags,
    )


def made_up_history(seed: int, num_rows: int, env: EnvSpec, window: int) -> History:
    """Noise, also where it is absent."""
    generator = np.random.default_rng((seed, window))
    shape = (num_rows, window - 1, env.num_agents)
    return History(
        jnp.asarray(generator.normal(size=(*shape, env.obs_size)), jnp.float32),
        jnp.asarray(generator.integers(env.num_actions, size=shape), jnp.int32),
        jnp.arange(num_rows, dtype=jnp.int32) % window,
    )


def noise_like(tree, seed: int, scale: float = 1.0):
    """Normal noise in the shape of a tree of arrays or of `jax.eval_shape`'s result; biases are not 0 in it."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(scale * generator.normal(size=x.shape), x.dtype), tree)


def with_some_scale(params: dict) -> dict:
    """Parameters whose auto-encoder, if it has a scale, has positive variances after three batches."""
    if "scale" not in params.get("mae", {}):
        return params
    scale = params["mae"]["scale"]
    made = scale | {"variance": 0.3 + jnp.square(scale["variance"]), "batches": jnp.full((), 3.0)}
    return params | {"mae": params["mae"] | {"scale": made}}


def tiny_config(
    name: str = "qmix",
    replay: dict | None = None,
    mae: dict | None = None,
    masking: dict | None = None,
    mixer: dict | None = None,
    **system,
) -> TrainConfig:
    """Settings of a learner small enough to compile at once."""
    made = SYSTEM_CONFIGS[name]
    mixer_name = (mixer or {}).get("name", made.mixers[0])
    read = {item.name for item in dataclasses.fields(MIXER_CONFIGS[mixer_name])}
    sizes = {size: value for size, value in {"embed_dim": 4, "hypernet_dim": 5}.items() if size in read}
    rows: dict[str, Any] = {"row_length": 11, "capacity_rows": 8, "batch_rows": 3, "min_rows": 2} | (replay or {})
    rule = (masking or {}).get("name", made.rule)
    return TrainConfig(
        env=SmaxConfig(num_envs=2),
        system=made(**({"hidden_size": 8, "td_lambda": 0.6, "learning_rate": 1e-3} | system)),
        mixer=MIXER_CONFIGS[mixer_name](**(sizes | {"name": mixer_name} | (mixer or {}))),
        mae=made.beliefs(**({"window": 3, "width": 4, "num_heads": 2} | (mae or {}))) if made.beliefs else None,
        masking=MASKING_CONFIGS[rule](**({"name": rule} | (masking or {}))) if made.rule else None,
        replay=REPLAY_CONFIGS[rows.get("kind", "uniform")](**rows),
    )


def counters(env_steps: int) -> Counters:
    """Counters of a seed after so many environment steps."""
    zero = jnp.zeros((), jnp.int32)
    return Counters(jnp.asarray(env_steps, jnp.int32), zero, zero, zero)


def on_rows(update: Update):
    """The gradient step as a function of bare rows: (state, rows, counters, key) -> (state, everything reported)."""

    def step(state, rows: Rows, counters: Counters, key: jax.Array):
        found = update(state, Sample(rows), counters, key)
        return found.state, found.metrics | {"loss": found.loss, "grad_norm": found.grad_norm}

    return step
