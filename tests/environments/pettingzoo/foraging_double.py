"""A parallel environment that plays scripts, for the boundaries that no real one has. It runs in worker processes.

Agents a, b and c; c comes later, as far as the script says. `script` is one line for each step, of words: `b:dies`,
`b:leaves` (truncated alone), `c:comes`, `end` (everyone left terminates), `limit` (everyone left is truncated),
`both` (both at once), `mixed` (the first of those left terminates, the others are truncated). Other arguments:
    masks: where action masks are, "obs", "infos" or "nowhere".
    has_state: whether the environment has a state of its own.
    fault: (kind, step) at which the environment fails, counted over its episodes: "raise", "kill", "hang", "shape",
        "state" or "mask".
    once: a file; the fault strikes only if it can be made.
"""

from __future__ import annotations

import os
import signal
import time

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

OBS_SIZES = {"a": (2, 2), "b": (3,), "c": (3,)}
NUM_ACTIONS = {"a": 3, "b": 2, "c": 2}


class Scripted(ParallelEnv):
    """obs is filled with 1 + the step, and for `a` its first number is the episode's seed modulo 97.

    Action 1 is illegal for `a` where there are masks. An agent's reward is 1, and 10 times its action.
    """

    metadata = {"name": "scripted"}  # noqa: RUF012

    def __init__(self, script=("", "", "end"), masks="nowhere", has_state=False, fault=("", 0), once=None):
        self.possible_agents = list(OBS_SIZES)
        self._script, self._masks, self._fault, self._once = script, masks, fault, once
        self._calls = self._seed = 0
        self.agents: list[str] = []
        if has_state:
            self.state = self._own_state

    def _own_state(self):
        # One number would fill four.
        is_struck = self._fault[0] == "state" and self._calls == self._fault[1]
        return np.zeros(1) if is_struck else np.arange(4).reshape(2, 2) + self._step

    def observation_space(self, agent):
        box = spaces.Box(-np.inf, np.inf, OBS_SIZES[agent], np.float32)
        mask = spaces.MultiBinary(NUM_ACTIONS[agent])
        return spaces.Dict({"observation": box, "action_mask": mask}) if self._masks == "obs" else box

    def action_space(self, agent):
        return spaces.Discrete(NUM_ACTIONS[agent], start=5 if agent == "b" else 0)

    def reset(self, seed=None, options=None):
        self._seed, self._step = seed, 0
        self.agents = ["a", "b"]
        return self._obs(self.agents), self._infos(self.agents)

    def step(self, actions):
        if sorted(actions) != sorted(self.agents):
            raise AssertionError(f"actions of {sorted(actions)} for {self.agents}")
        for agent, action in actions.items():
            if not self.action_space(agent).contains(action):
                raise AssertionError(f"{agent} plays {action}")
        self._strike()
        words = dict(word.split(":") for word in self._script[self._step].split() if ":" in word)
        team = [word for word in self._script[self._step].split() if ":" not in word]
        self._step += 1
        acted = list(actions)
        left = [agent for agent in acted if agent not in words]
        terminations = {agent: words.get(agent) == "dies" for agent in acted}
        truncations = {agent: words.get(agent) == "leaves" for agent in acted}
        for agent in left if team else []:
            terminations[agent] = team[0] in ("end", "both") or (team[0] == "mixed" and agent == left[0])
            truncations[agent] = team[0] in ("limit", "both") or (team[0] == "mixed" and agent != left[0])
        self.agents = [agent for agent in acted if not (terminations[agent] or truncations[agent])]
        self.agents += [agent for agent, word in words.items() if word == "comes"]
        seen = list(dict.fromkeys(acted + self.agents))
        rewards = {agent: 1.0 + 10 * (action - self.action_space(agent).start) for agent, action in actions.items()}
        return self._obs(seen), rewards, terminations, truncations, self._infos(seen)

    def _obs(self, agents):
        views = {}
        for agent in agents:
            views[agent] = np.full(OBS_SIZES[agent], 1.0 + self._step, np.float32)
            if agent == "a":
                views[agent][0, 0] = self._seed % 97
        if self._fault[0] == "shape" and self._calls == self._fault[1]:
            views["a"] = np.zeros(7, np.float32)
        if self._masks == "obs":
            return {agent: {"observation": views[agent], "action_mask": self._mask(agent)} for agent in agents}
        return views

    def _infos(self, agents):
        return {agent: {"action_mask": self._mask(agent)} if self._masks == "infos" else {} for agent in agents}

    def _mask(self, agent):
        mask = np.ones(NUM_ACTIONS[agent], np.int8)
        mask[1] = agent != "a"
        return mask * (not (self._fault[0] == "mask" and self._calls == self._fault[1]))

    def _strike(self):
        self._calls += 1
        kind, when = self._fault
        if self._calls != when:
            return
        if self._once:
            try:
                open(self._once, "x").close()
            except FileExistsError:
                self._fault = ("", 0)
                return
        if kind == "raise":
            raise ConnectionError("the field is flooded")
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hang":
            time.sleep(600)


def make(**options):
    return Scripted(**options)


def make_nothing():
    return object()


not_an_environment = 3
