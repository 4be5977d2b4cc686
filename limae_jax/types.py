"""Containers and axis letters used in the whole package.

Axes: S seed, T time, B environment copy or row, A agent, U action, O observation, G state, H hidden.
Learner arrays are time-major, [T, B, A, ...]. A boolean is named for what True means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import struct

PyTree = Any
Metrics = dict[str, jax.Array]


@dataclass(frozen=True)
class ActionSpec:
    """The action space of each agent.

    Attributes:
        size: U, the number of discrete actions, or the length of a continuous action vector.
        bounds: lowest and highest value of a vector's entries; None if actions are discrete, 0 .. U - 1.
    """

    size: int
    bounds: tuple[float, float] | None = None

    @property
    def is_discrete(self) -> bool:
        """Whether the actions are discrete."""
        return self.bounds is None


@dataclass(frozen=True)
class EnvSpec:
    """Sizes and properties of an environment.

    Attributes:
        num_agents: A.
        obs_size: O.
        state_size: G.
        actions: action space of each agent; U is its size.
        episode_limit: most environment steps in an episode.
        outcome_names: names of what `Environment.outcome` reports; includes "win" if episodes can be won.
        own_features: indices of an agent's own health and position in its observation.
        team_view: obs [A, O] -> each team-mate's `own_features` according to each observation, [A, A - 1, len], and
            whether the observation shows them, [A, A - 1]; None if this is unknown.
    """

    name: str
    scenario: str
    num_agents: int
    obs_size: int
    state_size: int
    actions: ActionSpec
    episode_limit: int
    outcome_names: tuple[str, ...] = ()
    own_features: tuple[int, ...] = ()
    team_view: Callable[[jax.Array], tuple[jax.Array, jax.Array]] | None = None

    @property
    def num_actions(self) -> int:
        """U, the size of the action space."""
        return self.actions.size


class Timestep(struct.PyTreeNode):
    """A team's observation before it acts, and the result of its last step. One environment; [B, ...] when vectorised.

    Attributes:
        obs: [A, O] each agent's own observation.
        state: [G] global state, for training only; scaled to about [-1, 1].
        avail: [A, U] bool, the legal actions; at least one for every agent, dead or alive.
        alive: [A] bool.
        reward: [] team reward of the step that led here, 0 at an episode's start.
        is_first: [] bool, the episode starts here.
        terminal: [] bool, the step that led here ended the episode: nothing follows, its value is 0.
        truncated: [] bool, the step that led here hit the time limit: the value of this observation still counts.
        agent_reward: [A] each agent's own reward of that step; None if the game has only a team reward.
    """

    obs: jax.Array
    state: jax.Array
    avail: jax.Array
    alive: jax.Array
    reward: jax.Array
    is_first: jax.Array
    terminal: jax.Array
    truncated: jax.Array
    agent_reward: jax.Array | None = None

    @property
    def is_last(self) -> jax.Array:
        """[] bool, the episode ended here: `obs` is its final observation and no action is taken."""
        return self.terminal | self.truncated


class Rows(struct.PyTreeNode):
    """Time-major rows of experience. Slot t holds an observation, the action taken on it, and the result.

    A row has `row_length` + 1 slots; the last one only supplies the value for bootstrapping. An episode's final
    observation takes a slot of its own with `filled` False: no action, no loss, no per-agent error.

    Attributes:
        obs [T, B, A, O], state [T, B, G], avail [T, B, A, U], alive [T, B, A]: seen before the action.
        action: [T, B, A] int32, or [T, B, A, U] float32 if actions are vectors.
        reward, terminal, truncated [T, B]: of the step taken *from* slot t.
        is_first [T, B]: an episode starts at slot t; recurrent states are reset here, for every agent.
        filled [T, B]: a real step was taken from slot t.
        start: the actor's carry before slot 0 (leaves [B, ...]).
        extras: what the system recorded while acting, by name, [T, B, ...]; see `systems.base.Acted`.
        agent_reward: [T, B, A] of the step taken from slot t, if the game has a reward per agent.
    """

    obs: jax.Array
    state: jax.Array
    avail: jax.Array
    alive: jax.Array
    action: jax.Array
    reward: jax.Array
    terminal: jax.Array
    truncated: jax.Array
    is_first: jax.Array
    filled: jax.Array
    start: PyTree
    extras: dict[str, jax.Array] = struct.field(default_factory=dict)
    agent_reward: jax.Array | None = None


class Sample(struct.PyTreeNode):
    """A batch of rows to learn from.

    Attributes:
        rows: [T, B, ...].
        index: [B] int32, positions of the rows in the replay; None if they were not sampled from one.
        weight: [B] importance weights of the rows' TD errors; None if all are equal.
    """

    rows: Rows
    index: jax.Array | None = None
    weight: jax.Array | None = None


class Clock(struct.PyTreeNode):
    """The clock that all seeds of a run share; work may depend on no other clock.

    Attributes:
        iteration: [] int32 iterations done, over all phases.
    """

    iteration: jax.Array | np.int32


class Counters(struct.PyTreeNode):
    """Counters of one seed. Schedules read them.

    Attributes:
        env_steps: [] int32 real environment steps, all phases.
        explore_env_steps: [] int32 environment steps in phases whose epsilon decays.
        grad_steps: [] int32.
        episodes: [] int32 finished episodes.
    """

    env_steps: jax.Array
    explore_env_steps: jax.Array
    grad_steps: jax.Array
    episodes: jax.Array
