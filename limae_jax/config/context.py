"""Settings of the masked auto-encoder and of the masking rules; `limae_jax.config` has them with all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limae_jax.catalogue.masking_rules import RULES, check_rule
from limae_jax.checks import Section, check_one_of

# Far beyond what was ever of use, and still what can be built.
MAX_WIDTH, MAX_LAYERS, MAX_UPDATES = 4096, 64, 10_000


@dataclass(frozen=True)
class MaeConfig(Section):
    """The masked auto-encoder over agents' trajectories, and the context that agents draw from it.

    Attributes:
        window: L, time steps of an agent's trajectory that it reads.
        width: D of its tokens, and of the context.
        num_heads: attention heads; divide the width.
        encoder_layers, decoder_layers: of the transformer.
        learning_rate: Adam's step size for the auto-encoder.
        max_grad_norm: its gradients are scaled down to this global norm.
        loss_weight: lambda, factor on its loss. With an optimiser of its own, Adam all but cancels it.
        pretrain_env_steps: time steps of random legal play, after the warm-up, in which only the auto-encoder learns;
            rounded up to whole chunks of 4096. The oracle, which has no auto-encoder, plays as many and learns nothing.
        pretrain_updates_per_iteration: gradient steps there after each collected block of `env.num_envs` rows.
        td_gradient_to_mae: whether the TD loss trains the auto-encoder too.
        target_copy: whether the target network has a copy of the auto-encoder from the last target update; otherwise
            it shares the online network's reconstruction, which is cheaper.
        context: what the attention reads of each reconstructed window, `last_step` or the whole `window`; `off` leaves
            the agent without context.
    """

    section: ClassVar[str] = "mae"

    window: int = 5
    width: int = 32
    num_heads: int = 4
    encoder_layers: int = 2
    decoder_layers: int = 1
    learning_rate: float = 1e-3
    max_grad_norm: float = 1.0
    loss_weight: float = 1.0
    pretrain_env_steps: int = 20_000
    pretrain_updates_per_iteration: int = 32
    td_gradient_to_mae: bool = False
    target_copy: bool = False
    context: str = "last_step"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = "window width num_heads encoder_layers decoder_layers learning_rate max_grad_norm loss_weight"
        self._positive(*positive.split(), "pretrain_updates_per_iteration")
        self._at_most(MAX_WIDTH, "window", "width")
        self._at_most(MAX_LAYERS, "encoder_layers", "decoder_layers")
        self._at_most(MAX_UPDATES, "pretrain_updates_per_iteration")
        self._check(self.pretrain_env_steps >= 0, "pretrain_env_steps", "must not be negative")
        self._check(self.width % self.num_heads == 0, "width", f"must be a multiple of mae.num_heads={self.num_heads}")
        self._one_of("context", "last_step", "window", "off")


@dataclass(frozen=True)
class MaskingConfig(Section):
    """Which agents the auto-encoder must guess; `limae-jax list masking` shows the rules and what each reads.

    Attributes:
        name: rule; null is the system's own.
        granularity: one mask for each `batch`, `row` or `step` (a window of mae.window steps); null is the rule's own.
        probability: p of hiding an agent, in `random` and while pre-training.
        tolerance: an error counts as high if it exceeds the mean by this fraction.
        top_k: agents hidden if no error is high.
        alpha: weight of the newest batch in `ema`; 0.1 is stable, 0.9 reactive.
        history_batches: K of `vds`.
        time_constant_steps: tau of `refds`, environment steps.
    """

    section: ClassVar[str] = "masking"

    name: str | None = None
    granularity: str | None = None
    probability: float = 0.75
    tolerance: float = 0.02
    top_k: int = 1
    alpha: float = 0.1
    history_batches: int = 8
    time_constant_steps: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("top_k", "history_batches", "time_constant_steps")
        self._at_most(MAX_UPDATES, "history_batches")
        self._check(self.tolerance >= 0, "tolerance", "must not be negative")
        self._check(self.history_batches >= 2, "history_batches", "must be at least 2: a slope needs two batches")
        self._check(0 < self.alpha <= 1, "alpha", "must be greater than 0 and at most 1")
        self._check(0 < self.probability < 1, "probability", "must be between 0 and 1")
        if self.name is not None:
            check_rule(self.name)
            if self.granularity is not None:
                check_one_of("masking.granularity", self.granularity, RULES[self.name].granularities)

    @property
    def unit(self) -> str:
        """The granularity in force."""
        if self.name is None:
            raise ValueError("no rule has been chosen")
        return self.granularity or RULES[self.name].granularities[0]
