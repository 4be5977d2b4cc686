"""A Gymnasium environment with an entry for each agent that plays a script. It runs in worker processes.

`script` has a word for each step: `first` (agent 0 is done, alone), `end` (terminated), `limit` (truncated) or "".
Other arguments:
    style: "each" gives rewards, ends and infos of each agent, "all" one for all; "each_info" one info for each agent.
    masks: whether infos hold action masks.
    kind: "dict" observes no tuple, "short" has actions for one agent only.
"""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces


class Scripted(gymnasium.Env):
    """Agent 0 sees two numbers and has three actions, agent 1 three and two, numbered from 5.

    Observations are 1 + the step; the first number of agent 0 is the episode's seed modulo 97. An agent's reward is 1
    and 10 times the place of its action, whether it is done or not; the team's is the sum.
    """

    def __init__(self, script=("", "", "end"), style="each", masks=False, kind=""):
        box = [spaces.Box(-np.inf, np.inf, (size,), np.float32) for size in (2, 3)]
        moves = [spaces.Discrete(3), spaces.Discrete(2, start=5)]
        self.observation_space = spaces.Dict({"0": box[0], "1": box[1]}) if kind == "dict" else spaces.Tuple(box)
        self.action_space = spaces.Tuple(moves[:1] if kind == "short" else moves)
        self._script, self._style, self._masks = script, style, masks

    def reset(self, *, seed=None, options=None):
        self._seed, self._step, self._is_done = seed % 97, 0, [False, False]
        return self._obs(), self._info()

    def step(self, action):
        assert self.action_space.contains(tuple(np.int64(one) for one in action)), action
        word = self._script[self._step]
        self._step += 1
        self._is_done[0] |= word == "first"
        rewards = [1.0 + 10 * action[0], 1.0 + 10 * (action[1] - 5)]
        terminated = [word == "end" or done for done in self._is_done]
        truncated = [word == "limit"] * 2
        if self._style == "all":
            return self._obs(), sum(rewards), terminated[1], truncated[1], self._info()
        return self._obs(), rewards, terminated, np.array(truncated), self._info()

    def _obs(self):
        obs = tuple(np.full(size, 1 + self._step, np.float32) for size in (2, 3))
        obs[0][0] = self._seed
        return obs

    def _info(self):
        masks = [[1, 0, 1], [1, 1]]
        if self._style == "each_info":
            return [{"action_mask": mask} if self._masks else {} for mask in masks]
        return {"action_mask": masks} if self._masks else {}


gymnasium.register("TupleDouble-v0", entry_point="tuple_double:Scripted")
