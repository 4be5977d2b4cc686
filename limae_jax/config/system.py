"""Settings of the learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limae_jax.catalogue.systems import CONTEXT_SYSTEMS, MIXER_NAMES
from limae_jax.checks import Section
from limae_jax.config.context import MAX_LAYERS, MAX_UPDATES, MAX_WIDTH


@dataclass(frozen=True)
class SystemConfig(Section):
    """The learner. Defaults are PyMARL2's where they carry over (see docs/differences.md).

    Attributes:
        name: system, see `limae-jax list systems`.
        hidden_size: width of the agent's input layer and of its GRU.
        mixer: `qmix`, `qplex`, `vdn` or `none` in place of the one that ma2e, li_ma2e and oracle come with; null keeps
            that.
        mixer_embed_dim: width of QMIX's mixing layer.
        mixer_hypernet_dim: width of the hidden layers of QMIX's and QPLEX's hypernetworks.
        mixer_num_heads: heads that QPLEX's weights of the advantages are summed over.
        mixer_num_layers: layers of the networks of these weights.
        gamma: discount per environment step.
        td_lambda: 0 is one-step TD, 1 is Monte Carlo within a row.
        double_q: whether the online network picks the action that the target network values.
        learning_rate: Adam's step size.
        max_grad_norm: gradients are scaled down to this global norm.
        reward_scale: factor on the reward before it enters a target; null: 10 on SMAX, else 1.
        target_update_env_steps: the target network is copied whenever this many environment steps have passed.
        updates_per_iteration: gradient steps after each collected block of `env.num_envs` rows.
        epsilon_start, epsilon_end, epsilon_decay_env_steps: linear exploration schedule of the training phase.
    """

    section: ClassVar[str] = "system"

    name: str = "qmix"
    hidden_size: int = 64
    mixer: str | None = None
    mixer_embed_dim: int = 32
    mixer_hypernet_dim: int = 64
    mixer_num_heads: int = 4
    mixer_num_layers: int = 2
    gamma: float = 0.99
    td_lambda: float = 0.6
    double_q: bool = True
    learning_rate: float = 1e-3
    max_grad_norm: float = 10.0
    reward_scale: float | None = None
    target_update_env_steps: int = 5000
    updates_per_iteration: int = 4
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    epsilon_decay_env_steps: int = 100_000

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = "hidden_size mixer_embed_dim mixer_hypernet_dim learning_rate max_grad_norm reward_scale"
        positive += (
            " mixer_num_heads mixer_num_layers target_update_env_steps updates_per_iteration epsilon_decay_env_steps"
        )
        self._positive(*positive.split())
        self._at_most(MAX_WIDTH, "hidden_size", "mixer_embed_dim", "mixer_hypernet_dim")
        self._at_most(MAX_UPDATES, "updates_per_iteration")
        self._at_most(MAX_LAYERS, "mixer_num_heads", "mixer_num_layers")
        for name in ("gamma", "td_lambda", "epsilon_start", "epsilon_end"):
            self._check(0 <= getattr(self, name) <= 1, name, "must be between 0 and 1")
        self._check(self.epsilon_end <= self.epsilon_start, "epsilon_end", "must not exceed system.epsilon_start")
        if self.mixer is not None:
            self._one_of("mixer", *MIXER_NAMES)
            fix = "is for ma2e, li_ma2e and oracle; choose system=iql, vdn, qmix or qplex instead"
            self._check(self.name in CONTEXT_SYSTEMS, "mixer", fix)
