"""The jaxmarl adapter: a silent import, and its per-agent dicts as stacked arrays."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from limae_jax.checks import MAX_INT
from limae_jax.types import ActionSpec, EnvSpec, PyTree, Timestep

# jaxmarl checks its time limit before it counts the step, and does not distinguish truncation from a real end. So the
# game gets no limit, and the adapter applies it.
NO_LIMIT = MAX_INT


def import_jaxmarl(module: str = "jaxmarl") -> ModuleType:
    """Imports `module` of jaxmarl without any output. Takes seconds and starts a jax backend."""
    with _silence():
        return importlib.import_module(module)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    # During import, jaxmarl resets sys.stdout and sys.stderr to sys.__stdout__ and sys.__stderr__, so a plain
    # redirection neither silences the import nor survives it.
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
    """Returns the same arrays without weak types.

    jaxmarl's first states have weak types that later states lack; a program whose argument changes its type after the
    first call would be compiled twice.
    """
    return jax.tree.map(lambda leaf: leaf.astype(leaf.dtype), tree)


class StackedState(struct.PyTreeNode):
    """State of a `StackedEnvironment`.

    Attributes:
        game: jaxmarl's own state.
        steps: [] int32 number of steps in this episode.
    """

    game: PyTree
    steps: jax.Array


class StackedEnvironment:
    """A cooperative jaxmarl environment as stacked arrays; see `base.Environment`.

    Observations are flattened and zero-padded to the longest observation. Actions are padded to the largest number of
    actions; padded actions are never legal. The state is the game's "world_state" if it has one, else the concatenated
    unpadded observations. The team's reward is the sum of the agents' rewards. An agent that the game reports as done
    while the team plays on is dead.
    """

    def __init__(self, game: Any, name: str, scenario: str, max_steps: int, is_reward_shared: bool = False):
        """Wraps `game`.

        Args:
            game: jaxmarl environment with discrete actions, built with `max_steps=NO_LIMIT`, so that it ends only
                when the task does.
            name: environment family, for the spec.
            scenario: task, for the spec.
            max_steps: time limit in environment steps.
            is_reward_shared: whether every agent gets the whole team's reward; it is then counted once.
        """
        self._game, self._is_reward_shared = game, is_reward_shared
        seen, self._start = jax.eval_shape(game.reset, jax.random.key(0))
        obs_sizes = [view.size for view in jax.eval_shape(self._views, seen)]
        num_actions = np.array([game.action_space(agent).n for agent in game.agents])
        self._exists = np.arange(num_actions.max()) < num_actions[:, None]
        self._tells_legal = _legal_moves_method(game, self._start)
        self.spec = EnvSpec(
            name=name,
            scenario=scenario,
            num_agents=len(game.agents),
            obs_size=max(obs_sizes),
            state_size=jax.eval_shape(self._state, seen).size,
            actions=ActionSpec(int(num_actions.max())),
            episode_limit=max_steps,
        )

    def reset(self, key: jax.Array) -> tuple[StackedState, Timestep]:
        """Starts an episode; see `base.Environment.reset`."""
        obs, game = self._game.reset(key)
        state = StackedState(self._typed(game), jnp.int32(0))
        no, alive = jnp.zeros((), bool), jnp.ones(self.spec.num_agents, bool)
        return state, self._timestep(state, obs, alive, jnp.float32(0), is_first=~no, terminal=no, truncated=no)

    def step(self, state: StackedState, action: jax.Array, key: jax.Array) -> tuple[StackedState, Timestep]:
        """Plays one joint action; see `base.Environment.step`."""
        actions = {agent: action[i] for i, agent in enumerate(self._game.agents)}
        obs, game, rewards, ended, _ = self._game.step_env(key, state.game, actions)
        each = jnp.stack(self._by_agent(rewards)).astype(jnp.float32)
        reward = each[0] if self._is_reward_shared else each.sum()
        after = StackedState(self._typed(game), state.steps + 1)
        terminal = jnp.asarray(ended["__all__"], bool)
        # The end of an episode marks every agent as done, but kills none.
        alive = jnp.stack([~jnp.asarray(ended.get(agent, False), bool) | terminal for agent in self._game.agents])
        truncated = ~terminal & (after.steps >= self.spec.episode_limit)
        is_first = jnp.zeros((), bool)
        return after, self._timestep(after, obs, alive, reward, is_first, terminal, truncated)

    def outcome(self, state: StackedState) -> dict[str, jax.Array]:
        """Returns an empty dict: these tasks are judged by their return."""
        return {}

    def _typed(self, game: PyTree) -> PyTree:
        """Casts a state to the types of a reset state, without weak types; see `strongly_typed`."""
        return jax.tree.map(lambda leaf, start: jnp.asarray(leaf).astype(start.dtype), game, self._start)

    def _by_agent(self, tree: PyTree) -> list[PyTree]:
        """Returns a list of the agents' entries of a dict by agent, a tuple, or arrays [A, ...]."""
        agents = self._game.agents
        if isinstance(tree, Mapping) and all(agent in tree for agent in agents):
            return [tree[agent] for agent in agents]
        if isinstance(tree, tuple):
            return list(tree)
        return [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(len(agents))]

    def _views(self, obs: PyTree) -> list[jax.Array]:
        """Returns each agent's unpadded observation, [O_i] float32."""
        return [_flat(view) for view in self._by_agent(obs)]

    def _state(self, obs: PyTree) -> jax.Array:
        if isinstance(obs, Mapping) and "world_state" in obs:
            return _flat(obs["world_state"])
        return jnp.concatenate(self._views(obs))

    def _avail(self, game: PyTree) -> jax.Array:
        if self._tells_legal is None:
            return jnp.asarray(self._exists)
        legal = [jnp.asarray(one, bool) for one in self._by_agent(getattr(self._game, self._tells_legal)(game))]
        padded = jnp.stack([jnp.pad(one, (0, self.spec.num_actions - one.size)) for one in legal])
        # A finished game may have no legal action left.
        has_none = ~jnp.any(padded, axis=-1, keepdims=True)
        return padded | (has_none & (jnp.arange(self.spec.num_actions) == 0))

    def _timestep(
        self,
        state: StackedState,
        obs: PyTree,
        alive: jax.Array,
        reward: jax.Array,
        is_first: jax.Array,
        terminal: jax.Array,
        truncated: jax.Array,
    ) -> Timestep:
        padded = [jnp.pad(view, (0, self.spec.obs_size - view.size)) for view in self._views(obs)]
        return Timestep(
            obs=jnp.stack(padded),
            state=self._state(obs),
            avail=self._avail(state.game),
            alive=alive,
            reward=reward,
            is_first=is_first,
            terminal=terminal,
            truncated=truncated,
        )


def _flat(tree: PyTree) -> jax.Array:
    """Flattens an observation of any structure to [O] float32."""
    return jnp.concatenate([jnp.asarray(leaf, jnp.float32).reshape(-1) for leaf in jax.tree.leaves(tree)])


def _legal_moves_method(game: Any, state: PyTree) -> str | None:
    """Which method tells the legal actions, of the length that the action spaces have; None if none does."""
    for name in ("get_legal_moves", "get_avail_actions"):
        try:
            legal = jax.eval_shape(getattr(game, name), state)
        except (AttributeError, NotImplementedError):
            continue
        if all(legal[agent].shape == (game.action_space(agent).n,) for agent in game.agents):
            return name
    return None
