"""What agents of PettingZoo see and may do, as rows of numbers. Runs in the worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from limae_jax.errors import InputError

_MASK = "action_mask"


class AgentSpaces:
    """One agent's observations and actions.

    Attributes:
        obs_size: numbers of a flattened observation, its action mask left out.
        num_actions: legal and illegal ones.
    """

    def __init__(self, scenario: str, agent: str, obs: spaces.Space, action: spaces.Space):
        """Reads the spaces.

        Raises:
            InputError: the actions are not discrete, or the observations have no fixed size.
        """
        if not isinstance(action, spaces.Discrete):
            raise InputError(f"env.scenario={scenario}: agent {agent} has no discrete actions, but {action}")
        self._space, self._is_wrapped = _without_mask(obs)
        if not self._space.is_np_flattenable:
            raise InputError(f"env.scenario={scenario}: observations of agent {agent} have no fixed size: {obs}")
        self.obs_size = spaces.flatdim(self._space)
        self.num_actions, self._first_action = int(action.n), int(action.start)

    def flat(self, obs: Any) -> np.ndarray:
        """An observation, [O] float32."""
        if isinstance(self._space, spaces.Dict):
            obs = {name: obs[name] for name in self._space.spaces}
        elif self._is_wrapped:
            obs = obs["observation"]
        return np.asarray(spaces.flatten(self._space, obs), np.float32)

    def legal(self, obs: Any, info: Mapping[str, Any]) -> np.ndarray:
        """[U] bool, by the action mask that comes with the observation or the info; all without one."""
        mask = obs.get(_MASK) if isinstance(obs, Mapping) else None
        mask = info.get(_MASK) if mask is None else mask
        if mask is None:
            return np.ones(self.num_actions, bool)
        legal = np.asarray(mask, bool)
        if legal.shape != (self.num_actions,) or not legal.any():
            raise ValueError(f"an action mask of shape {legal.shape} with {legal.sum()} of {self.num_actions} legal")
        return legal

    def action(self, number: int) -> int:
        """The environment's own number of an action that is counted from 0."""
        return self._first_action + number


def _without_mask(space: spaces.Space) -> tuple[spaces.Space, bool]:
    """The space of what is observed, and whether that is the entry "observation" of a dict with a mask beside it."""
    if not isinstance(space, spaces.Dict) or _MASK not in space.spaces:
        return space, False
    inner = {name: part for name, part in space.spaces.items() if name != _MASK}
    return (inner["observation"], True) if list(inner) == ["observation"] else (spaces.Dict(inner), False)
