"""Settings of third-party games, chosen by name; `limae_jax.config` re-exports them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from limae_jax.catalogue.jaxmarl_games import check_jaxmarl_game
from limae_jax.catalogue.pettingzoo_game import check_gymnasium_id, place_of
from limae_jax.checks import check_options
from limae_jax.config.env_base import MAX_STEPS, CompiledConfig, HostPlayedConfig


@dataclass(frozen=True)
class JaxmarlConfig(CompiledConfig):
    """Settings of any cooperative game of jaxmarl with discrete actions.

    Attributes:
        scenario: the game's name in jaxmarl's registry, see `limae-jax list scenarios`.
        max_steps: time limit in environment steps, at which an episode is truncated; null keeps the game's own limit.
        options: arguments of the game's constructor, such as {layout: coord_ring}.
        reward_scale: see `EnvConfig`.
    """

    reward_scale: ClassVar[float] = 1.0

    name: str = "jaxmarl"
    scenario: str = "overcooked"
    max_steps: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("max_steps")
        self._at_most(MAX_STEPS, "max_steps")
        check_options("env.options", self.options)
        check_jaxmarl_game(self.scenario)

    def __hash__(self) -> int:
        # A dict is not hashable. Equal settings need equal hashes, but unequal settings may collide.
        return hash((self.scenario, self.num_envs, self.max_steps, frozenset(self.options)))


@dataclass(frozen=True)
class ParallelConfig(HostPlayedConfig):
    """Settings that third-party environments in worker processes share; their actions are discrete.

    Attributes:
        max_steps: time limit in environment steps, at which an episode is truncated; the environment's own limit may
            be shorter.
        options: arguments of the function that creates the environment, such as {N: 2, max_cycles: 50}.
    """

    max_steps: int = 1000
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("max_steps")
        self._at_most(MAX_STEPS, "max_steps")
        check_options("env.options", self.options)

    def __hash__(self) -> int:
        # See `JaxmarlConfig`.
        return hash((self.scenario, self.workers, self.max_steps, frozenset(self.options)))


@dataclass(frozen=True)
class PettingzooConfig(ParallelConfig):
    """Settings of any parallel environment of PettingZoo.

    Attributes:
        scenario: the environment's module, such as mpe2.simple_spread_v3, or module:function.
    """

    name: str = "pettingzoo"
    scenario: str = "mpe2.simple_spread_v3"

    def __post_init__(self) -> None:
        super().__post_init__()
        place_of(self.scenario)

    __hash__ = ParallelConfig.__hash__


@dataclass(frozen=True)
class GymnasiumConfig(ParallelConfig):
    """Settings of any environment of Gymnasium whose observations and actions are tuples with one entry per agent.

    Attributes:
        scenario: ID for `gymnasium.make`, such as `module:Name-v0` with the module that registers the name.
    """

    name: str = "gymnasium"
    scenario: str = "lbforaging:Foraging-8x8-2p-3f-v3"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_gymnasium_id(self.scenario)

    __hash__ = ParallelConfig.__hash__
