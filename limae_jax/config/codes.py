"""Settings of the game with hidden codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limae_jax.catalogue.scenarios import Sizes
from limae_jax.config.env_base import CompiledConfig
from limae_jax.registry import check_name

# Clues that each agent sees before it names its team-mate's code.
CLUES = 2
MAX_CODES = 64
CODES_SCENARIOS = {"sum": "each agent names its team-mate's hidden code, the sum of two clues that it has seen"}


@dataclass(frozen=True)
class CodesConfig(CompiledConfig):
    """Settings of a game in which two agents must name each other's hidden code; see `environments.codes`.

    Attributes:
        scenario: `sum`.
        codes: K, number of codes.
        reward_scale: see `EnvConfig`.
    """

    reward_scale: ClassVar[float] = 1.0

    name: str = "codes"
    scenario: str = "sum"
    codes: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("env.scenario", self.scenario, CODES_SCENARIOS)
        self._check(2 <= self.codes <= MAX_CODES, "codes", f"must be between 2 and {MAX_CODES}")


def codes_sizes(config: CodesConfig) -> Sizes:
    """Returns the sizes of the game: A, O, G, U and the length of an episode."""
    steps = CLUES + 1
    return Sizes(2, 2 * config.codes + steps, 2 * config.codes + steps, config.codes, steps)
