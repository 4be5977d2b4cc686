"""Conversion of the agents' observation and action spaces to flat arrays. Runs in the worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from limae_jax.errors import InputError

_MASK = "action_mask"


class AgentSpaces:
    """The observation and action space of one agent.

    Attributes:
        obs_size: size of a flattened observation, without its action mask.
        num_actions: number of actions, legal or not.
    """

    def __init__(self, scenario: str, agent: str, obs: spaces.Space, action: spaces.Space):
        """Reads the spaces.

        Raises:
            InputError: the actions are not discrete, or the observations have no fixed size.
        """
        if not isinstance(action, spaces.Discrete):
            raise InputError(f"env.scenario={scenario}: actions of agent {agent} are not discrete: {action}")
        self._space, self._is_wrapped = _without_mask(obs)
        if not self._space.is_np_flattenable:
            raise InputError(f"env.scenario={scenario}: observations of agent {agent} have no fixed size: {obs}")
        self.obs_size = spaces.flatdim(self._space)
        self.num_actions, self._first_action = int(action.n), int(action.start)

    def flat(self, obs: Any) -> np.ndarray:
        """Flattens an observation to [O] float32."""
        if isinstance(self._space, spaces.Dict):
            obs = {name: obs[name] for name in self._space.spaces}
        elif self._is_wrapped:
            obs = obs["observation"]
        return np.asarray(spaces.flatten(self._space, obs), np.float32)

    def legal(self, obs: Any, info: Mapping[str, Any]) -> np.ndarray:
        """Returns the legal actions [U] bool by the action mask in the observation or info; all if there is none."""
        mask = obs.get(_MASK) if isinstance(obs, Mapping) else None
        mask = info.get(_MASK) if mask is None else mask
        if mask is None:
            return np.ones(self.num_actions, bool)
        legal = np.asarray(mask, bool)
        if legal.shape != (self.num_actions,) or not legal.any():
            raise ValueError(f"action mask of shape {legal.shape} allows {legal.sum()} of {self.num_actions} actions")
        return legal

    def action(self, number: int) -> int:
        """Converts an action counted from 0 to the environment's numbering."""
        return self._first_action + number


def _without_mask(space: spaces.Space) -> tuple[spaces.Space, bool]:
    """Returns the space without its mask, and whether it was the entry "observation" of a dict with a mask."""
    if not isinstance(space, spaces.Dict) or _MASK not in space.spaces:
        return space, False
    inner = {name: part for name, part in space.spaces.items() if name != _MASK}
    return (inner["observation"], True) if list(inner) == ["observation"] else (spaces.Dict(inner), False)
