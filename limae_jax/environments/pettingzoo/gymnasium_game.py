"""An environment of Gymnasium with an entry for each agent, as a worker plays it. Imports no jax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from limae_jax.catalogue.pettingzoo_game import ParallelSettings
from limae_jax.checks import one_line
from limae_jax.environments.pettingzoo.parallel import ParallelGame
from limae_jax.errors import InputError

_MASK = "action_mask"


class TupleEnv:
    """A Gymnasium environment with an entry for each agent, as a parallel environment of PettingZoo.

    Observations and actions are tuples. Rewards, `terminated` and `truncated` may have an entry for each agent, or be
    one for all; one reward is the team's. An agent that is done before the others gets its first action until the end.
    """

    def __init__(self, env: Any):
        """Wraps an environment whose spaces are tuples of equal length."""
        self._env = env
        self.possible_agents = [f"agent_{index}" for index in range(len(env.action_space))]
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> spaces.Space:
        """What the agent sees."""
        return self._env.observation_space[self.possible_agents.index(agent)]

    def action_space(self, agent: str) -> spaces.Space:
        """What the agent may do."""
        return self._env.action_space[self.possible_agents.index(agent)]

    def reset(self, seed: int) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Starts an episode: observations and infos by agent."""
        obs, info = self._env.reset(seed=seed)
        self.agents = list(self.possible_agents)
        return self._by_agent(obs), self._infos(info)

    def step(self, actions: Mapping[str, int]) -> tuple[dict[str, Any], ...]:
        """Plays the actions: observations, rewards, terminations, truncations and infos by agent."""
        idle = {agent: int(self.action_space(agent).start) for agent in self.possible_agents}
        played = tuple((idle | dict(actions)).values())
        obs, reward, terminated, truncated, info = self._env.step(played)
        # One reward is the team's, which is the sum of the agents'.
        rewards = reward if _has_entries(reward) else [reward] + [0.0] * (len(played) - 1)
        ends = [self._by_agent(end if _has_entries(end) else [end] * len(played)) for end in (terminated, truncated)]
        self.agents = [agent for agent in self.agents if not any(end[agent] for end in ends)]
        return self._by_agent(obs), self._by_agent(rewards), *ends, self._infos(info)

    def state(self) -> np.ndarray:
        """None: Gymnasium knows of no state."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends the environment."""
        self._env.close()

    def _by_agent(self, entries: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.possible_agents, entries, strict=True))

    def _infos(self, info: Any) -> dict[str, dict[str, Any]]:
        """The action masks by agent, of an info with a mask for each or with an info for each."""
        if isinstance(info, Mapping):
            return (
                {agent: {_MASK: mask} for agent, mask in self._by_agent(info[_MASK]).items()} if _MASK in info else {}
            )
        return self._by_agent(info)


class GymnasiumGame(ParallelGame):
    """One environment of Gymnasium; see `ParallelGame`."""

    @staticmethod
    def make(settings: ParallelSettings) -> TupleEnv:
        """Makes the environment.

        Raises:
            InputError: it is not registered, refuses its options, or has no entry for each agent.
        """
        given = f"env.scenario={settings.name}"
        try:
            env = gymnasium.make(settings.name, disable_env_checker=True, **settings.options)
        except (gymnasium.error.Error, ImportError) as error:
            raise InputError(f"{given}: cannot be made: {one_line(error)}") from None
        except (TypeError, ValueError, AssertionError) as error:
            options = f"env.options={one_line(dict(settings.options))}"
            raise InputError(f"{options}: {settings.name} refuses it: {one_line(error)}") from None
        tuples = [isinstance(space, spaces.Tuple) for space in (env.observation_space, env.action_space)]
        if not all(tuples) or len(env.observation_space) != len(env.action_space):
            raise InputError(f"{given}: has no tuple of observations and of actions with an entry for each agent")
        return TupleEnv(env)


def _has_entries(value: Any) -> bool:
    """Whether there is one for each agent."""
    return np.ndim(value) > 0
