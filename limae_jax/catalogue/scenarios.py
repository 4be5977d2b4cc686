"""Scenarios of SMAX and MPE as plain data, checked without importing jax or jaxmarl.

A test compares the tables with jaxmarl's own.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from limae_jax.checks import show
from limae_jax.errors import InputError
from limae_jax.registry import check_name

UNIT_TYPES = ("marine", "marauder", "stalker", "zealot", "zergling", "hydralisk")
UNIT_LETTERS = {"m": 0, "M": 1, "s": 2, "z": 3, "zg": 4, "h": 5}

# The size of all observations grows with the square of the team sizes; SMAC's largest map has 64 units in a team.
MAX_TEAM_SIZE = 100

# SMAX's layout: four moves and stop, then one attack for each enemy.
NUM_MOVE_ACTIONS = 5
STOP_ACTION = NUM_MOVE_ACTIONS - 1
OWN_FEATURES = 4 + len(UNIT_TYPES)
UNIT_FEATURES = 7 + len(UNIT_TYPES)
_CONIC_SLOTS = 32 * 2


@dataclass(frozen=True)
class Scenario:
    """A battle of SMAX.

    Attributes:
        unit_types: index of every unit's type in UNIT_TYPES, allies first.
        num_allies, num_enemies: team sizes.
        random_positions: whether teams start surrounded or mirrored at random, as in SMACv2.
        random_unit_types: whether unit types are sampled in every episode, as in SMACv2; `unit_types` is not used.
    """

    unit_types: tuple[int, ...]
    num_allies: int
    num_enemies: int
    random_positions: bool = False
    random_unit_types: bool = False


class Sizes(NamedTuple):
    """Sizes of an environment, known without building it; see `types.EnvSpec`."""

    num_agents: int
    obs_size: int
    state_size: int
    num_actions: int
    episode_limit: int


def _battle(allies: dict[str, int], enemies: dict[str, int] | None = None) -> Scenario:
    enemies = allies if enemies is None else enemies
    teams = [tuple(UNIT_LETTERS[letter] for letter, n in team.items() for _ in range(n)) for team in (allies, enemies)]
    return Scenario(teams[0] + teams[1], len(teams[0]), len(teams[1]))


def _smacv2(team_size: int) -> Scenario:
    return Scenario((0,) * (2 * team_size), team_size, team_size, random_positions=True, random_unit_types=True)


SMAX_SCENARIOS = {
    "3m": _battle({"m": 3}),
    "2s3z": _battle({"s": 2, "z": 3}),
    "25m": _battle({"m": 25}),
    "3s5z": _battle({"s": 3, "z": 5}),
    "8m": _battle({"m": 8}),
    "5m_vs_6m": _battle({"m": 5}, {"m": 6}),
    "10m_vs_11m": _battle({"m": 10}, {"m": 11}),
    "27m_vs_30m": _battle({"m": 27}, {"m": 30}),
    "3s5z_vs_3s6z": _battle({"s": 3, "z": 5}, {"s": 3, "z": 6}),
    "3s_vs_5z": _battle({"s": 3}, {"z": 5}),
    "6h_vs_8z": _battle({"h": 6}, {"z": 8}),
    "smacv2_5_units": _smacv2(5),
    "smacv2_10_units": _smacv2(10),
    "smacv2_20_units": _smacv2(20),
}


def parse_scenario(name: str) -> Scenario:
    """Returns the scenario of a name: one of SMAX_SCENARIOS, or any `<team>_vs_<team>` or `<team>` (both sides equal).

    A team is a list of counts and unit letters, such as `3s5z`.

    Raises:
        InputError: the name has an unknown letter, an empty or too large team, or another form.
    """
    if name in SMAX_SCENARIOS:
        return SMAX_SCENARIOS[name]
    teams = name.split("_vs_")
    if len(teams) > 2:
        raise _bad_scenario(name, f"{len(teams)} teams instead of two")
    allies = _parse_team(name, teams[0], "allied")
    enemies = _parse_team(name, teams[-1], "enemy")
    return Scenario(allies + enemies, len(allies), len(enemies))


def _parse_team(name: str, team: str, side: str) -> tuple[int, ...]:
    if not team:
        raise _bad_scenario(name, f"the {side} team is empty")
    if not re.fullmatch(r"([0-9]+[A-Za-z]+)+", team):
        raise _bad_scenario(name, f"'{show(team)}' is not a list of counts and unit letters")
    unit_types: list[int] = []
    for digits, letters in re.findall(r"([0-9]+)([A-Za-z]+)", team):
        if letters not in UNIT_LETTERS:
            raise _bad_scenario(name, f"no unit '{show(letters)}'")
        # int() refuses numbers with thousands of digits.
        count = int(digits) if len(digits) <= 6 else MAX_TEAM_SIZE + 1
        if count == 0:
            raise _bad_scenario(name, f"'{show(digits + letters)}' has no units")
        if len(unit_types) + count > MAX_TEAM_SIZE:
            raise _bad_scenario(name, f"more than {MAX_TEAM_SIZE} units in the {side} team")
        unit_types += [UNIT_LETTERS[letters]] * count
    return tuple(unit_types)


def _bad_scenario(name: str, problem: str) -> InputError:
    letters = ", ".join(f"{letter} {UNIT_TYPES[index]}" for letter, index in UNIT_LETTERS.items())
    close = difflib.get_close_matches(name, SMAX_SCENARIOS, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return InputError(f"env.scenario={show(name)}: {problem}; name units ({letters}) as in 2s3z or 3s_vs_5z.{hint}")


class SmaxSettings(Protocol):
    """The settings that sizes depend on; `SmaxConfig` implements this protocol."""

    @property
    def scenario(self) -> str:
        """Name of the scenario."""

    @property
    def observation_type(self) -> str:
        """Either `unit_list` or `conic`."""

    @property
    def max_steps(self) -> int | None:
        """Time limit in environment steps; None takes the limit of SMAC's map of the same name."""


def smax_sizes(config: SmaxSettings) -> Sizes:
    """Returns the sizes of the environment that `config` describes."""
    scenario = parse_scenario(config.scenario)
    num_units = scenario.num_allies + scenario.num_enemies
    slots = num_units - 1 if config.observation_type == "unit_list" else _CONIC_SLOTS
    return Sizes(
        num_agents=scenario.num_allies,
        obs_size=UNIT_FEATURES * slots + OWN_FEATURES,
        state_size=(OWN_FEATURES + 2) * num_units,
        num_actions=NUM_MOVE_ACTIONS + scenario.num_enemies,
        episode_limit=cast(int, config.max_steps),  # SmaxConfig replaces None
    )


@dataclass(frozen=True)
class MpeScenario:
    """A cooperative particle environment.

    Attributes:
        jaxmarl_id: name in jaxmarl.
        summary: one-line description of the task.
        num_agents: jaxmarl's team size.
        resizable: whether `env.num_agents` may change the team size, and the number of landmarks with it.
    """

    jaxmarl_id: str
    summary: str
    num_agents: int
    resizable: bool = False


MPE_SCENARIOS = {
    "simple_spread": MpeScenario("MPE_simple_spread_v3", "cover all landmarks without collisions", 3, resizable=True),
    "simple_speaker_listener": MpeScenario(
        "MPE_simple_speaker_listener_v4", "one agent knows the goal and speaks, the other moves", 2
    ),
    "simple_reference": MpeScenario(
        "MPE_simple_reference_v3", "both move and speak; each knows only the other's goal", 2
    ),
}


def check_mpe_scenario(name: str, num_agents: int | None = None) -> MpeScenario:
    """Returns the scenario of a name.

    Raises:
        InputError: the name is unknown, or the scenario's team size is fixed.
    """
    scenario = MPE_SCENARIOS[check_name("env.scenario", name, MPE_SCENARIOS)]
    if num_agents is not None and not scenario.resizable and num_agents != scenario.num_agents:
        raise InputError(f"env.num_agents={num_agents}: {name} always has {scenario.num_agents} agents; use null")
    return scenario
