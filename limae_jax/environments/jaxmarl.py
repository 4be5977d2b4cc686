"""The way into jaxmarl: a quiet import, and its environments with dicts of agents as stacked arrays."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from limae_jax.checks import MAX_INT
from limae_jax.types import ActionSpec, EnvSpec, PyTree, Timestep

# jaxmarl tests its limit before it counts the step, and does not tell it from a real end: it gets none, we keep it.
NO_LIMIT = MAX_INT


def import_jaxmarl(module: str = "jaxmarl") -> ModuleType:
    """Imports `module` of jaxmarl without a word to the user. It takes seconds and starts a jax backend."""
    with _silence():
        return importlib.import_module(module)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    # While importing, jaxmarl puts sys.__stdout__ and sys.__stderr__ back in place of whatever was there, so a plain
    # redirection neither silences it nor survives it.
    names = ("stdout", "stderr", "__stdout__", "__stderr__")
    before = {name: getattr(sys, name) for name in names}
    try:
        for name in names:
            setattr(sys, name, io.StringIO())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, stream in before.items():
            setattr(sys, name, stream)


def strongly_typed(tree: PyTree) -> PyTree:
    """The same arrays without weak types.

    jaxmarl's first states have some that later ones lack, and a program whose argument changes its type after the first
    call is compiled twice.
    """
    return jax.tree.map(lambda leaf: leaf.astype(leaf.dtype), tree)


class StackedState(struct.PyTreeNode):
    """State of a `StackedEnvironment`.

    Attributes:
        game: jaxmarl's own state.
        steps: [] int32 steps of this episode.
    """

    game: PyTree
    steps: jax.Array


class StackedEnvironment:
    """A cooperative jaxmarl environment as stacked arrays; see `base.Environment`.

    Observations are padded with zeros to the longest, actions to the most; padded actions are never legal. The state
    is all observations, unpadded, one after the other. The team's reward is the sum of its agents'. Agents do not die.
    """

    def __init__(self, game: Any, name: str, scenario: str, max_steps: int):
        """Wraps `game`.

        Args:
            game: jaxmarl environment with discrete actions, built with `max_steps=NO_LIMIT`, so that it ends only
                when the task does.
            name: environment family, for the spec.
            scenario: task, for the spec.
            max_steps: time limit in environment steps.
        """
        self._game = game
        obs_sizes = [int(np.prod(game.observation_space(agent).shape)) for agent in game.agents]
        num_actions = np.array([game.action_space(agent).n for agent in game.agents])
        self._avail = np.arange(num_actions.max()) < num_actions[:, None]
        self.spec = EnvSpec(
            name=name,
            scenario=scenario,
            num_agents=len(game.agents),
            obs_size=max(obs_sizes),
            state_size=sum(obs_sizes),
            actions=ActionSpec(int(num_actions.max())),
            episode_limit=max_steps,
        )

    def reset(self, key: jax.Array) -> tuple[StackedState, Timestep]:
        """Starts an episode; see `base.Environment.reset`."""
        obs, game = self._game.reset(key)
        start = jnp.zeros((), bool)
        timestep = self._timestep(obs, jnp.float32(0), is_first=~start, terminal=start, truncated=start)
        return StackedState(strongly_typed(game), jnp.int32(0)), timestep

    def step(self, state: StackedState, action: jax.Array, key: jax.Array) -> tuple[StackedState, Timestep]:
        """Plays one joint action; see `base.Environment.step`."""
        actions = {agent: action[i] for i, agent in enumerate(self._game.agents)}
        obs, game, rewards, ended, _ = self._game.step_env(key, state.game, actions)
        reward = jnp.stack([rewards[agent] for agent in self._game.agents]).sum().astype(jnp.float32)
        steps = state.steps + 1
        terminal = strongly_typed(ended["__all__"])
        truncated = ~terminal & (steps >= self.spec.episode_limit)
        is_first = jnp.zeros((), bool)
        return StackedState(strongly_typed(game), steps), self._timestep(obs, reward, is_first, terminal, truncated)

    def outcome(self, state: StackedState) -> dict[str, jax.Array]:
        """Nothing: such a task is judged by its return."""
        return {}

    def _timestep(
        self,
        obs: dict[str, jax.Array],
        reward: jax.Array,
        is_first: jax.Array,
        terminal: jax.Array,
        truncated: jax.Array,
    ) -> Timestep:
        views = [obs[agent].astype(jnp.float32).reshape(-1) for agent in self._game.agents]
        padded = [jnp.pad(view, (0, self.spec.obs_size - view.size)) for view in views]
        return Timestep(
            obs=jnp.stack(padded),
            state=jnp.concatenate(views),
            avail=jnp.asarray(self._avail),
            alive=jnp.ones(self.spec.num_agents, bool),
            reward=reward,
            is_first=is_first,
            terminal=terminal,
            truncated=truncated,
        )
