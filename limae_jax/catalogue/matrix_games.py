"""Games of a few stages as plain data: tables small enough to solve by hand, for testing learners.

Nothing here imports jax, so mistakes are reported immediately.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from limae_jax.catalogue.scenarios import Sizes
from limae_jax.checks import check
from limae_jax.registry import check_name

# The state is a one-hot of the stage, so it grows with the cliffwalk.
MAX_LENGTH = 1000
# Squares of payoffs beyond this lose too much in single precision.
LARGEST_PENALTY = 1e6

Table = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class StageGame:
    """A game in stages 0 .. S - 1 that starts at stage 0. A step leads to a later stage, or to S: the game is over.

    A joint action is one number: the agents' actions are its digits in base U, agent 0's action first.

    Attributes:
        num_agents: A.
        num_actions: U; all are legal at every stage.
        rewards: [S][U ** A] team reward of each joint action.
        next_stages: [S][U ** A] next stage after each joint action.
    """

    num_agents: int
    num_actions: int
    rewards: Table
    next_stages: tuple[tuple[int, ...], ...]

    @property
    def num_stages(self) -> int:
        """S, the number of stages."""
        return len(self.rewards)

    @property
    def episode_limit(self) -> int:
        """Steps of the longest episode."""
        longest = [0] * (self.num_stages + 1)
        for stage in reversed(range(self.num_stages)):
            longest[stage] = 1 + max(longest[after] for after in self.next_stages[stage])
        return longest[0]

    @cached_property
    def values(self) -> Table:
        """[S][U ** A] optimal undiscounted return after each joint action."""
        best, values = [0.0] * (self.num_stages + 1), []
        for stage in reversed(range(self.num_stages)):
            pairs = zip(self.rewards[stage], self.next_stages[stage], strict=True)
            values.append(tuple(reward + best[after] for reward, after in pairs))
            best[stage] = max(values[-1])
        return tuple(reversed(values))

    @property
    def best_return(self) -> float:
        """The optimal return from the start."""
        return max(self.values[0])

    @property
    def is_best(self) -> tuple[tuple[bool, ...], ...]:
        """[S][U ** A] whether a joint action is optimal at its stage."""
        return tuple(tuple(value == max(stage) for value in stage) for stage in self.values)


def matrix_game(payoff: Sequence[Sequence[float]]) -> StageGame:
    """Returns a game in which two agents act once; `payoff[a_0][a_1]` is the reward of their joint action."""
    joint = tuple(float(reward) for row in payoff for reward in row)
    return StageGame(2, len(payoff), (joint,), ((1,) * len(joint),))


def two_step_game() -> StageGame:
    """Returns the two-step game of Rashid et al. 2018, section 5.

    At stage 0 agent 0's action alone decides: 0 leads to stage 1 (branch A), 1 to stage 2 (branch B), without reward.
    Branch A pays 7 for every action, branch B pays [[0, 1], [1, 8]], and the game is over.
    """
    rewards = ((0.0,) * 4, (7.0,) * 4, (0.0, 1.0, 1.0, 8.0))
    return StageGame(2, 2, rewards, ((1, 1, 2, 2), (3,) * 4, (3,) * 4))


def right_action(stage: int) -> int:
    """Returns the cliffwalk's right action: the parity of the stage's binary digits (0, 1, 1, 0, 1, 0, 0, 1, ...).

    It does not follow from other stages or the previous action, so each stage has to be learned by itself.
    """
    return stage.bit_count() % 2


def cliffwalk(length: int) -> StageGame:
    """Returns the blind cliffwalk of Schaul et al. 2016, section 3.1, for one agent with two actions.

    The right action leads to the next stage, the wrong action ends the game. The right action of the last stage has
    reward 1, all others have reward 0. Random play succeeds once in 2 ** length episodes.
    """
    stages = range(length)
    rewards = [[float(stage == length - 1 and action == right_action(stage)) for action in (0, 1)] for stage in stages]
    after = [[stage + 1 if action == right_action(stage) else length for action in (0, 1)] for stage in stages]
    return StageGame(1, 2, tuple(map(tuple, rewards)), tuple(map(tuple, after)))


class MatrixSettings(Protocol):
    """The settings that a game depends on; `MatrixConfig` implements this protocol."""

    @property
    def scenario(self) -> str:
        """Name of the game."""

    @property
    def penalty(self) -> float:
        """Payoff of the `penalty` game when the agents mix up its two optima."""

    @property
    def length(self) -> int:
        """Environment steps of an episode."""


@dataclass(frozen=True)
class MatrixScenario:
    """A named game.

    Attributes:
        summary: one-line description.
        build: settings -> tables of the game.
        settings: fields of MatrixConfig that this game reads, of those that only some games read.
    """

    summary: str
    build: Callable[[MatrixSettings], StageGame] = field(repr=False)
    settings: tuple[str, ...] = ()


def _one_matrix(summary: str, *payoff: Sequence[float]) -> MatrixScenario:
    game = matrix_game(payoff)
    return MatrixScenario(summary, lambda config: game)


def _penalty(config: MatrixSettings) -> StageGame:
    return matrix_game([[10, 0, config.penalty], [0, 2, 0], [config.penalty, 0, 10]])


# monotone: the payoff is 2 ** (a_0 + a_1), which grows with either action. One unit of QMIX's mixer represents it
# exactly, as ELU(x) = exp(x) - 1 below 0: the agents' values are (a_i - 3) log 2, the weight and the bias 64. It is not
# a sum of the agents' values, so VDN cannot represent it, though VDN's greedy actions are optimal.
# easy: mistakes cost almost nothing, so policy gradients also find the optimum; on climbing they may not.
MATRIX_SCENARIOS = {
    "climbing": _one_matrix(
        "the best payoff, 11, is next to -30 (Claus & Boutilier 1998)", (11, -30, 0), (-30, 7, 6), (0, 0, 5)
    ),
    "penalty": MatrixScenario(
        "two optima with payoff 10; mixing them up pays env.penalty (Claus & Boutilier 1998)", _penalty, ("penalty",)
    ),
    "monotone": _one_matrix(
        "2 ** (a_0 + a_1): a monotone mixer represents it, a sum does not", (1, 2, 4), (2, 4, 8), (4, 8, 16)
    ),
    "qplex": _one_matrix(
        "the best payoff, 8, is next to -12 (Son et al. 2019; Wang et al. 2021)",
        (8, -12, -12),
        (-12, 0, 0),
        (-12, 0, 0),
    ),
    "easy": _one_matrix("mistakes cost almost nothing", (12, -0.1, -0.1), (-0.1, 0, 0), (-0.1, 0, 0)),
    "two_step": MatrixScenario(
        "agent 0 chooses a certain 7, or a matrix of 0, 1, 1 and 8 (Rashid et al. 2018)", lambda config: two_step_game()
    ),
    "cliffwalk": MatrixScenario(
        "env.length right actions in a row pay 1, a wrong one ends the game (Schaul et al. 2016)",
        lambda config: cliffwalk(config.length),
        ("length",),
    ),
}


def check_matrix_scenario(config: MatrixSettings) -> MatrixScenario:
    """Returns the scenario of the settings.

    Raises:
        InputError: the scenario is unknown, or it does not read a setting that was changed.
    """
    scenario = MATRIX_SCENARIOS[check_name("env.scenario", config.scenario, MATRIX_SCENARIOS)]
    for name in dict.fromkeys(name for other in MATRIX_SCENARIOS.values() for name in other.settings):
        readers = [other for other, its in MATRIX_SCENARIOS.items() if name in its.settings]
        value, default = getattr(config, name), getattr(type(config), name)
        fix = f"{config.scenario} does not read it; choose env.scenario={' or '.join(readers)}"
        check(config.scenario in readers or value == default, f"env.{name}", value, fix)
    return scenario


def build_game(config: MatrixSettings) -> StageGame:
    """Returns the tables of the game that `config` describes."""
    return MATRIX_SCENARIOS[config.scenario].build(config)


def matrix_sizes(config: MatrixSettings) -> Sizes:
    """Returns the sizes of the environment that `config` describes."""
    game = build_game(config)
    return Sizes(game.num_agents, game.num_stages, game.num_stages, game.num_actions, game.episode_limit)
