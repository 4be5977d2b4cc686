"""A PettingZoo parallel environment, run in a worker process. Does not import jax."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from limae_jax.catalogue.pettingzoo_game import ParallelSettings, place_of
from limae_jax.checks import one_line
from limae_jax.environments.pettingzoo.spaces import AgentSpaces
from limae_jax.environments.workers.game import Move
from limae_jax.environments.workers.records import EpisodeRecord, GameInfo
from limae_jax.errors import InputError

# The only legal action of a dead agent; it is not played.
_NO_OP = 0


class ParallelGame:
    """A PettingZoo parallel environment; see `workers.game.WorkerGame`.

    Observations are flattened and zero-padded to the longest observation. Actions are padded to the largest number of
    actions; padded actions are never legal. The state is the environment's own if it has one, else the concatenated
    unpadded observations. The team's reward is the sum of the agents' rewards. An agent that has left or not yet joined
    is dead: it sees zeros and has one legal action, which is not played. An episode ends when no agent is left:
    truncated if an agent of the last step was truncated and not terminated, else terminal.
    """

    can_break_off = True
    version: str | None = None

    def __init__(self, settings: ParallelSettings, folder: Path):
        """Builds the environment and starts an episode to find the sizes.

        Raises:
            InputError: the environment is missing or not supported.
        """
        self._env: Any = self.make(settings)
        self._agents = list(self._env.possible_agents)
        self._spaces = [
            AgentSpaces(settings.name, agent, self._env.observation_space(agent), self._env.action_space(agent))
            for agent in self._agents
        ]
        self._limit, self._steps = settings.max_steps, 0
        self._obs: Mapping[Any, Any] = {}
        self._infos: Mapping[Any, Any] = {}
        self._is_alive: dict[Any, bool] = {}
        self._has_state = True
        # A seed for each episode: without one, some environments draw their own.
        self._seeds = np.random.default_rng(settings.seed)
        self._start(seed=0)
        self._has_state = self._try_state()
        self.info = GameInfo(
            name=settings.name,
            num_agents=len(self._agents),
            obs_size=max(one.obs_size for one in self._spaces),
            state_size=self._state().size,
            num_actions=max(one.num_actions for one in self._spaces),
            episode_limit=settings.max_steps,
        )

    @staticmethod
    def make(settings: ParallelSettings) -> Any:
        """Makes the environment.

        Raises:
            InputError: the environment is missing or not supported.
        """
        return _make(settings)

    def reset(self) -> None:
        """Starts an episode."""
        self._start(seed=int(self._seeds.integers(2**31)))

    def _start(self, seed: int) -> None:
        self._obs, self._infos = self._env.reset(seed=seed)
        self._steps, self._is_alive = 0, {agent: agent in self._env.agents for agent in self._agents}

    def step(self, action: list[int]) -> Move:
        """Plays the actions of the living agents."""
        numbered = zip(self._agents, self._spaces, action, strict=True)
        playing = {agent: space.action(number) for agent, space, number in numbered if agent in self._env.agents}
        self._obs, rewards, terminations, truncations, self._infos = self._env.step(playing)
        self._steps += 1
        is_over = not self._env.agents
        cut_off = [agent for agent in playing if truncations.get(agent) and not terminations.get(agent)]
        # An agent truncated at the end counts as alive: its final observation has a value to bootstrap from.
        living = set(cut_off) if is_over else {agent for agent in self._env.agents if not terminations.get(agent)}
        self._is_alive = {agent: agent in living for agent in self._agents}
        is_truncated = bool(cut_off) if is_over else self._steps >= self._limit
        return Move(float(sum(rewards.values())), is_over and not is_truncated, is_truncated)

    def observe(self) -> Mapping[str, Any]:
        """See `workers.game.WorkerGame`."""
        info = self.info
        obs = np.zeros((info.num_agents, info.obs_size), np.float32)
        avail = np.zeros((info.num_agents, info.num_actions), bool)
        for index, (agent, space) in enumerate(zip(self._agents, self._spaces, strict=True)):
            if self._is_alive[agent]:
                obs[index, : space.obs_size] = space.flat(self._obs[agent])
                avail[index, : space.num_actions] = space.legal(self._obs[agent], self._infos.get(agent, {}))
            else:
                avail[index, _NO_OP] = True
        return {"obs": obs, "state": self._state(), "avail": avail, "alive": list(self._is_alive.values())}

    def _state(self) -> np.ndarray:
        if self._has_state:
            return np.asarray(self._env.state(), np.float32).reshape(-1)
        views = [
            space.flat(self._obs[agent]) if self._is_alive[agent] else np.zeros(space.obs_size, np.float32)
            for agent, space in zip(self._agents, self._spaces, strict=True)
        ]
        return np.concatenate(views)

    def _try_state(self) -> bool:
        """Whether the environment has a state of its own."""
        try:
            self._env.state()
        except (NotImplementedError, AttributeError):
            return False
        return True

    def record(self, worker: int, length: int, episode_return: float, truncated: bool) -> EpisodeRecord:
        """Returns the record of the episode that has just ended."""
        return EpisodeRecord(worker, length, episode_return, truncated)

    def close(self) -> None:
        """Closes the environment."""
        self._env.close()


def _make(settings: ParallelSettings) -> Any:
    module, function = place_of(settings.name)
    try:
        make = getattr(importlib.import_module(module), function, None)
    except ImportError as error:
        what = f"needs {error.name}; install it" if error.name else str(error)
        raise InputError(f"env.scenario={settings.name}: cannot be imported: {one_line(what)}") from None
    if make is None:
        raise InputError(f"env.scenario={settings.name}: has no {function}, so it is not a parallel environment")
    try:
        env = make(**settings.options)
    except (TypeError, ValueError, AssertionError) as error:
        given = f"env.options={one_line(dict(settings.options))}"
        raise InputError(f"{given}: {settings.name} refuses it: {one_line(error)}") from None
    missing = [name for name in ("possible_agents", "reset", "step") if not hasattr(env, name)]
    if missing or not hasattr(env, "observation_space"):
        raise InputError(f"env.scenario={settings.name}: is not a parallel environment of PettingZoo")
    return env
