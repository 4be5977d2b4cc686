"""Settings of the systems (learners).

A system's class also says which other sections the system reads, and which of its settings compiled programs take as
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
    """Settings that all systems share.

    Class attributes:
        mixers: names of the mixers that the system can have, its default first.
        beliefs: class of section `mae`; None if the system's agents have no beliefs about their team.
        rule: default masking rule; None if the system masks nothing.

    Attributes:
        name: system, see `limae-jax list systems`.
        hidden_size: width of the agent's input layer and of its GRU.
        gamma: discount per environment step.
        learning_rate: Adam's step size.
        max_grad_norm: gradients are clipped to this global norm.
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
    """Settings of Q-learning on replayed rows. Defaults are PyMARL2's where applicable (see docs/differences.md).

    Attributes:
        td_lambda: 0 is one-step TD, 1 is Monte Carlo within a row.
        double_q: whether the online network picks the action that the target network evaluates.
        target_update_env_steps: environment steps between updates of the target network.
        updates_per_iteration: gradient steps after each collected block of `env.num_envs` rows.
        epsilon_start, epsilon_end, epsilon_decay_env_steps: linear exploration schedule of the training phase.
        average_env_steps: environment steps over which the parameters are averaged, with exponentially falling weights,
            for the team that is evaluated and stored; 0: it has the newest parameters.
    """

    traced: ClassVar[tuple[str, ...]] = (
        *("gamma", "td_lambda", "learning_rate", "max_grad_norm", "reward_scale", "target_update_env_steps"),
        *("epsilon_start", "epsilon_end", "epsilon_decay_env_steps"),
    )

    td_lambda: float = 0.8
    double_q: bool = True
    target_update_env_steps: int = 5000
    updates_per_iteration: int = 4
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    epsilon_decay_env_steps: int = 50_000
    average_env_steps: int = 10_000

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("target_update_env_steps", "updates_per_iteration", "epsilon_decay_env_steps")
        self._at_most(MAX_UPDATES, "updates_per_iteration")
        self._check(self.average_env_steps >= 0, "average_env_steps", "must not be negative")
        for name in ("td_lambda", "epsilon_start", "epsilon_end"):
            self._check(0 <= getattr(self, name) <= 1, name, "must be between 0 and 1")
        self._check(self.epsilon_end <= self.epsilon_start, "epsilon_end", "must not exceed system.epsilon_start")


@dataclass(frozen=True)
class IqlConfig(ValueBasedConfig):
    """Independent Q-learning; as in PyMARL2, with one-step targets and a smaller step size than with a mixer."""

    name: str = "iql"
    learning_rate: float = 5e-4
    td_lambda: float = 0.0


@dataclass(frozen=True)
class VdnConfig(ValueBasedConfig):
    """VDN: the team's value is the sum of the agents' values."""

    mixers: ClassVar[tuple[str, ...]] = ("vdn",)

    name: str = "vdn"


@dataclass(frozen=True)
class QmixConfig(ValueBasedConfig):
    """QMIX: a monotone, state-conditioned mix of the agents' values."""

    mixers: ClassVar[tuple[str, ...]] = ("qmix",)

    name: str = "qmix"


@dataclass(frozen=True)
class QplexConfig(ValueBasedConfig):
    """QPLEX: duplex dueling."""

    mixers: ClassVar[tuple[str, ...]] = ("qplex",)

    name: str = "qplex"


@dataclass(frozen=True)
class Ma2eConfig(ValueBasedConfig):
    """MA2E: context from a masked auto-encoder; masks are drawn at random."""

    mixers: ClassVar[tuple[str, ...]] = _ALL_MIXERS
    beliefs: ClassVar[type[WindowConfig] | None] = MaeConfig
    rule: ClassVar[str | None] = "random"

    name: str = "ma2e"


@dataclass(frozen=True)
class LiMa2eConfig(Ma2eConfig):
    """LI-MA2E: MA2E that hides agents with a high TD error."""

    rule: ClassVar[str | None] = "mean_td"

    name: str = "li_ma2e"


@dataclass(frozen=True)
class OracleConfig(ValueBasedConfig):
    """The oracle: context from the true windows of the team-mates."""

    mixers: ClassVar[tuple[str, ...]] = _ALL_MIXERS
    beliefs: ClassVar[type[WindowConfig] | None] = WindowConfig

    name: str = "oracle"


def mixers_of(system: type[SystemConfig]) -> tuple[str, ...]:
    """Returns the names of a system's mixers, its default first; with those of plug-ins if there is a choice."""
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
