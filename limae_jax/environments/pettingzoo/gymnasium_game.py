"""A Gymnasium environment with one entry per agent, run in a worker process. Does not import jax."""

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
    """Wraps a Gymnasium environment with one entry per agent as a PettingZoo parallel environment.

    Observations and actions are tuples. Rewards, `terminated` and `truncated` have one entry per agent, or one value
    for all; a single reward is the team's. An agent that is done before the others plays its first action until the
    end.
    """

    def __init__(self, env: Any):
        """Wraps an environment whose spaces are tuples of equal length."""
        self._env = env
        self.possible_agents = [f"agent_{index}" for index in range(len(env.action_space))]
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> spaces.Space:
        """Returns the agent's observation space."""
        return self._env.observation_space[self.possible_agents.index(agent)]

    def action_space(self, agent: str) -> spaces.Space:
        """Returns the agent's action space."""
        return self._env.action_space[self.possible_agents.index(agent)]

    def reset(self, seed: int) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Starts an episode; returns observations and infos by agent."""
        obs, info = self._env.reset(seed=seed)
        self.agents = list(self.possible_agents)
        return self._by_agent(obs), self._infos(info)

    def step(self, actions: Mapping[str, int]) -> tuple[dict[str, Any], ...]:
        """Plays the actions; returns observations, rewards, terminations, truncations and infos by agent."""
        idle = {agent: int(self.action_space(agent).start) for agent in self.possible_agents}
        played = tuple((idle | dict(actions)).values())
        obs, reward, terminated, truncated, info = self._env.step(played)
        # The game sums the agents' rewards, so a single reward goes to one agent.
        rewards = reward if _has_entries(reward) else [reward] + [0.0] * (len(played) - 1)
        ends = [self._by_agent(end if _has_entries(end) else [end] * len(played)) for end in (terminated, truncated)]
        self.agents = [agent for agent in self.agents if not any(end[agent] for end in ends)]
        return self._by_agent(obs), self._by_agent(rewards), *ends, self._infos(info)

    def state(self) -> np.ndarray:
        """Raises NotImplementedError: Gymnasium environments have no state."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes the environment."""
        self._env.close()

    def _by_agent(self, entries: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.possible_agents, entries, strict=True))

    def _infos(self, info: Any) -> dict[str, dict[str, Any]]:
        """Returns the infos by agent, from one info with a mask per agent or from one info per agent."""
        if isinstance(info, Mapping):
            return (
                {agent: {_MASK: mask} for agent, mask in self._by_agent(info[_MASK]).items()} if _MASK in info else {}
            )
        return self._by_agent(info)


class GymnasiumGame(ParallelGame):
    """A Gymnasium environment; see `ParallelGame`."""

    @staticmethod
    def make(settings: ParallelSettings) -> TupleEnv:
        """Makes the environment.

        Raises:
            InputError: the environment is not registered, rejects its options, or lacks one entry per agent.
        """
        given = f"env.scenario={settings.name}"
        try:
            env = gymnasium.make(settings.name, disable_env_checker=True, **settings.options)
        except (gymnasium.error.Error, ImportError) as error:
            raise InputError(f"{given}: cannot be created: {one_line(error)}") from None
        except (TypeError, ValueError, AssertionError) as error:
            options = f"env.options={one_line(dict(settings.options))}"
            raise InputError(f"{options}: {settings.name} refuses it: {one_line(error)}") from None
        tuples = [isinstance(space, spaces.Tuple) for space in (env.observation_space, env.action_space)]
        if not all(tuples) or len(env.observation_space) != len(env.action_space):
            raise InputError(f"{given}: has no observation and action tuples with one entry per agent")
        return TupleEnv(env)


def _has_entries(value: Any) -> bool:
    """Whether `value` has one entry per agent."""
    return np.ndim(value) > 0
