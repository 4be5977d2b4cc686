"""Settings of the learners: a class for each family, and what sets its systems apart.

A system's class says which other sections the system reads, and which of its settings compiled programs take as
arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limae_jax.catalogue.systems import check_system
from limae_jax.checks import Section
from limae_jax.config.bounds import MAX_UPDATES, MAX_WIDTH
from limae_jax.config.context import MaeConfig, WindowConfig
from limae_jax.registry import REGISTERED

_ALL_MIXERS = ("qmix", "qplex", "vdn", "none")


@dataclass(frozen=True)
class SystemConfig(Section):
    """What every learner has.

    Class attributes:
        mixers: names of the mixers that the system can have, its own first.
        beliefs: class of section `mae`; None if the system's agents believe nothing about their team.
        rule: the masking rule that the system comes with; None if it masks nothing.

    Attributes:
        name: system, see `limae-jax list systems`.
        hidden_size: width of the agent's input layer and of its GRU.
        gamma: discount per environment step.
        learning_rate: Adam's step size.
        max_grad_norm: gradients are scaled down to this global norm.
        reward_scale: factor on the reward before it enters a target; null: 10 on SMAX, else 1.
    """

    section: ClassVar[str] = "system"
    mixers: ClassVar[tuple[str, ...]] = ("none",)
    beliefs: ClassVar[type[WindowConfig] | None] = None
    rule: ClassVar[str | None] = None
    traced: ClassVar[tuple[str, ...]] = ("gamma", "learning_rate", "max_grad_norm", "reward_scale")

    name: str = "qmix"
    hidden_size: int = 64
    gamma: float = 0.99
    learning_rate: float = 1e-3
    max_grad_norm: float = 10.0
    reward_scale: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_system(self.name)
        self._positive("hidden_size", "learning_rate", "max_grad_norm", "reward_scale")
        self._at_most(MAX_WIDTH, "hidden_size")
        self._check(0 <= self.gamma <= 1, "gamma", "must be between 0 and 1")


@dataclass(frozen=True)
class ValueBasedConfig(SystemConfig):
    """Q-learning on replayed rows. Defaults are PyMARL2's where they carry over (see docs/differences.md).

    Attributes:
        td_lambda: 0 is one-step TD, 1 is Monte Carlo within a row.
        double_q: whether the online network picks the action that the target network values.
        target_update_env_steps: the target network is copied whenever this many environment steps have passed.
        updates_per_iteration: gradient steps after each collected block of `env.num_envs` rows.
        epsilon_start, epsilon_end, epsilon_decay_env_steps: linear exploration schedule of the training phase.
    """

    traced: ClassVar[tuple[str, ...]] = (
        *("gamma", "td_lambda", "learning_rate", "max_grad_norm", "reward_scale", "target_update_env_steps"),
        *("epsilon_start", "epsilon_end", "epsilon_decay_env_steps"),
    )

    td_lambda: float = 0.6
    double_q: bool = True
    target_update_env_steps: int = 5000
    updates_per_iteration: int = 4
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    epsilon_decay_env_steps: int = 100_000

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("target_update_env_steps", "updates_per_iteration", "epsilon_decay_env_steps")
        self._at_most(MAX_UPDATES, "updates_per_iteration")
        for name in ("td_lambda", "epsilon_start", "epsilon_end"):
            self._check(0 <= getattr(self, name) <= 1, name, "must be between 0 and 1")
        self._check(self.epsilon_end <= self.epsilon_start, "epsilon_end", "must not exceed system.epsilon_start")


@dataclass(frozen=True)
class IqlConfig(ValueBasedConfig):
    """Independent learners; as in PyMARL2 with one-step targets and a smaller step size than with a mixer."""

    name: str = "iql"
    learning_rate: float = 5e-4
    td_lambda: float = 0.0


@dataclass(frozen=True)
class VdnConfig(ValueBasedConfig):
    """The sum of the agents' values."""

    mixers: ClassVar[tuple[str, ...]] = ("vdn",)

    name: str = "vdn"


@dataclass(frozen=True)
class QmixConfig(ValueBasedConfig):
    """A monotone, state-conditioned mix."""

    mixers: ClassVar[tuple[str, ...]] = ("qmix",)

    name: str = "qmix"


@dataclass(frozen=True)
class QplexConfig(ValueBasedConfig):
    """Duplex dueling."""

    mixers: ClassVar[tuple[str, ...]] = ("qplex",)

    name: str = "qplex"


@dataclass(frozen=True)
class Ma2eConfig(ValueBasedConfig):
    """Context from a masked auto-encoder; masks are drawn at random."""

    mixers: ClassVar[tuple[str, ...]] = _ALL_MIXERS
    beliefs: ClassVar[type[WindowConfig] | None] = MaeConfig
    rule: ClassVar[str | None] = "random"

    name: str = "ma2e"


@dataclass(frozen=True)
class LiMa2eConfig(Ma2eConfig):
    """As MA2E; agents with a high TD error are hidden."""

    rule: ClassVar[str | None] = "mean_td"

    name: str = "li_ma2e"


@dataclass(frozen=True)
class OracleConfig(ValueBasedConfig):
    """Context from the true windows of the team-mates."""

    mixers: ClassVar[tuple[str, ...]] = _ALL_MIXERS
    beliefs: ClassVar[type[WindowConfig] | None] = WindowConfig

    name: str = "oracle"


def mixers_of(system: type[SystemConfig]) -> tuple[str, ...]:
    """Names of the mixers that a system can have, its own first: those of users too, where there is a choice."""
    has_choice = len(system.mixers) > 1
    return (*system.mixers, *(REGISTERED["mixer"] if has_choice else ()))


# System -> the class of its settings.
SYSTEM_CONFIGS: dict[str, type[SystemConfig]] = {
    "iql": IqlConfig,
    "vdn": VdnConfig,
    "qmix": QmixConfig,
    "qplex": QplexConfig,
    "ma2e": Ma2eConfig,
    "li_ma2e": LiMa2eConfig,
    "oracle": OracleConfig,
}
