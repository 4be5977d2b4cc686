"""Library functions to play a trained team in a game: `make_env`, then `play`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from limae_jax import environments
from limae_jax.checks import MAX_INT, check
from limae_jax.config import TrainConfig
from limae_jax.environments.base import Environment
from limae_jax.errors import InputError
from limae_jax.evaluation.evaluate import check_sizes
from limae_jax.evaluation.policy import Policy
from limae_jax.keys import Stream, stream_key
from limae_jax.runs.stored import read_run
from limae_jax.systems.base import ActorCarry
from limae_jax.types import PyTree, Timestep

Act = Callable[[ActorCarry, Timestep], tuple[jax.Array, ActorCarry]]


class Turn(NamedTuple):
    """One time step of an episode.

    Attributes:
        state: state of the game.
        timestep: timestep that the team observes.
        carry: the team's carry before it acts.
        action: [A] the team's action; None at the end of the episode.
    """

    state: PyTree
    timestep: Timestep
    carry: ActorCarry
    action: jax.Array | None


def turns(env: Environment, act: Act, carry: ActorCarry, key: jax.Array) -> Iterator[Turn]:
    """Plays one episode, step by step.

    Args:
        env: the game.
        act: (carry, timestep) -> (action [A] int32, carry).
        carry: initial carry.
        key: key of the episode; consumed.

    Returns:
        T + 1 turns; the last one is the end of the episode.
    """
    reset, step = _compiled(cast(Hashable, env))
    reset_key, step_key = jax.random.split(key)
    (state, timestep), number = reset(reset_key), 0
    while not bool(timestep.is_last):
        action, after = act(carry, timestep)
        yield Turn(state, timestep, carry, action)
        number += 1
        carry, (state, timestep) = after, step(state, action, jax.random.fold_in(step_key, number))
    yield Turn(state, timestep, carry, None)


@lru_cache(maxsize=8)
def _compiled(env: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Returns `reset` and `step`, compiled once for all episodes."""
    return jax.jit(env.reset), jax.jit(env.step)


@dataclass(frozen=True, repr=False)
class Episode:
    """One episode of T steps, as numpy arrays. Entry 0 is the start, entry t the result of step t.

    Attributes:
        obs: [T + 1, A, O].
        state: [T + 1, G].
        avail: [T + 1, A, U] bool, the legal actions.
        alive: [T + 1, A] bool.
        action: [T, A] int32.
        reward: [T] reward of the team, unscaled.
        is_truncated: whether the time limit ended the episode.
        outcome: outcome of the game, such as "win" (0 or 1), "ally_deaths" and "enemy_deaths".
    """

    obs: np.ndarray
    state: np.ndarray
    avail: np.ndarray
    alive: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    is_truncated: bool
    outcome: dict[str, float]

    @property
    def length(self) -> int:
        """Number of steps, T."""
        return len(self.reward)

    def __repr__(self) -> str:
        outcome = ", ".join(f"{name} {value:g}" for name, value in self.outcome.items())
        ending = " (time limit)" if self.is_truncated else ""
        return f"Episode: {self.length} steps{ending}, return {self.reward.sum():.2f}" + (outcome and f", {outcome}")


_SEEN = ("obs", "state", "avail", "alive")


def make_env(source: str | Path | TrainConfig) -> Environment:
    """Makes one copy of the environment of a run; see `environments.base.Environment`.

    Args:
        source: a run directory, or the settings of a run.

    Raises:
        InputError: there is no such run, or its game runs in worker processes, such as StarCraft II.
    """
    config = source if isinstance(source, TrainConfig) else read_run(Path(source))
    if config.env.is_played_by_host:
        raise InputError(f"env={config.env.name}: runs in worker processes; use limae-jax evaluate")
    return environments.make_env(config.env)


def play(policy: Policy, env: Environment, seed: int = 0) -> Episode:
    """Plays one episode with the greedy actions of a team.

    Args:
        policy: team from `load_policy`.
        env: environment from `make_env`, with the sizes that the team was trained for.
        seed: seed of the episode; the same seed gives the same episode.

    Raises:
        InputError: the team does not fit the game.
    """
    check(isinstance(seed, int) and 0 <= seed <= MAX_INT, "seed", seed, f"choose a whole number from 0 to {MAX_INT}")
    check_sizes(policy.spec, env.spec)

    def act(carry: ActorCarry, timestep: Timestep) -> tuple[jax.Array, ActorCarry]:
        return policy.act(carry, timestep.obs, timestep.avail)

    key = stream_key(np.int32(seed), Stream.FRESH_EVAL)
    played = list(turns(env, act, policy.initial_carry, key))
    seen = jax.device_get([turn.timestep for turn in played])
    end = played[-1]
    return Episode(
        **{name: np.stack([getattr(one, name) for one in seen]) for name in _SEEN},
        action=np.stack([np.asarray(turn.action) for turn in played[:-1]]),
        reward=np.stack([one.reward for one in seen[1:]]),
        is_truncated=bool(end.timestep.truncated),
        outcome={name: float(value) for name, value in env.outcome(end.state).items()},
    )
