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
        stores_rows: whether it learns from stored rows, and so reads the settings of the replay; a system that does not
            reads only `replay.row_length`.

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
    stores_rows: ClassVar[bool] = True
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
class PpoConfig(SystemConfig):
    """Settings of proximal policy optimisation on the rows just collected (see docs/on_policy.md).

    Each iteration plays `replay.row_length` time steps in each of `env.num_envs` environment copies.

    Attributes:
        gae_lambda: lambda of the advantages; 0 is one-step, 1 is Monte Carlo within a row.
        clip: how far the ratio of a new to an old probability may move from 1 with a gain.
        value_clip: whether the critic's values are clipped in the same way, in its own units.
        value_norm: whether the critic predicts returns that are normalised by their running mean and deviation.
        value_norm_decay: share of these statistics that a gradient step keeps.
        entropy_weight, value_weight: weights of the policy's entropy and of the critic's loss beside the policy's loss.
        learning_rate_left: share of `learning_rate` that is left at the end of its linear decay; 1: no decay.
        learning_rate_decay_env_steps: environment steps of the decay.
        epochs: passes over the rows of an iteration.
        minibatches: gradient steps of a pass, each on as many whole rows; divides `env.num_envs`.
    """

    stores_rows: ClassVar[bool] = False
    traced: ClassVar[tuple[str, ...]] = (
        *("gamma", "learning_rate", "max_grad_norm", "reward_scale", "gae_lambda", "clip", "value_norm_decay"),
        *("entropy_weight", "value_weight", "learning_rate_left", "learning_rate_decay_env_steps"),
    )

    gae_lambda: float = 0.95
    clip: float = 0.2
    value_clip: bool = True
    value_norm: bool = True
    value_norm_decay: float = 0.999
    entropy_weight: float = 0.03
    value_weight: float = 0.5
    learning_rate_left: float = 1.0
    learning_rate_decay_env_steps: int = 1_000_000
    epochs: int = 4
    minibatches: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("clip", "learning_rate_decay_env_steps", "epochs", "minibatches")
        self._at_most(MAX_UPDATES, "epochs", "minibatches")
        for name in ("gae_lambda", "learning_rate_left"):
            self._check(0 <= getattr(self, name) <= 1, name, "must be between 0 and 1")
        self._check(0 <= self.value_norm_decay < 1, "value_norm_decay", "must be at least 0 and less than 1")
        has_effect = self.value_norm or self.value_norm_decay == PpoConfig.value_norm_decay
        self._check(has_effect, "value_norm_decay", "has no effect with system.value_norm=false; leave it out")
        for name in ("entropy_weight", "value_weight"):
            self._check(getattr(self, name) >= 0, name, "must not be negative")


@dataclass(frozen=True)
class MappoConfig(PpoConfig):
    """MAPPO: the critic sees the state, the agent's observation and the agent's id."""

    name: str = "mappo"


@dataclass(frozen=True)
class IppoConfig(PpoConfig):
    """IPPO: the critic sees what the agent sees.

    Attributes:
        critic: `shared` is a second head on the policy's network, `own` a network of its own.
    """

    name: str = "ippo"
    critic: str = "shared"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("critic", "shared", "own")


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
    "mappo": MappoConfig,
    "ippo": IppoConfig,
    "ma2e": Ma2eConfig,
    "li_ma2e": LiMa2eConfig,
    "oracle": OracleConfig,
}
