"""Settings of the agents' context: the window that they remember, and the masked auto-encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limae_jax.checks import Section
from limae_jax.config.bounds import MAX_LAYERS, MAX_UPDATES, MAX_WIDTH


@dataclass(frozen=True)
class WindowConfig(Section):
    """Settings of the team's windows that an agent draws context from; the oracle reads the true windows.

    Attributes:
        window: L, time steps of an agent's trajectory.
        width: D, size of the context and of the auto-encoder's tokens.
        num_heads: attention heads; must divide the width.
        pretrain_time_steps: time steps of random legal play, after the warm-up, in which only the auto-encoder learns;
            rounded up to whole chunks of 4096. The oracle, which has no auto-encoder, plays them without learning.
        context: what the attention reads of each window, `last_step` or the whole `window`; `off` disables context.
    """

    section: ClassVar[str] = "mae"

    window: int = 5
    width: int = 96
    num_heads: int = 4
    pretrain_time_steps: int = 20_000
    context: str = "last_step"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("window", "width", "num_heads")
        self._at_most(MAX_WIDTH, "window", "width")
        self._check(self.pretrain_time_steps >= 0, "pretrain_time_steps", "must not be negative")
        self._check(self.width % self.num_heads == 0, "width", f"must be a multiple of mae.num_heads={self.num_heads}")
        self._one_of("context", "last_step", "window", "off")


@dataclass(frozen=True)
class MaeConfig(WindowConfig):
    """Settings of the masked auto-encoder over agents' trajectories, and of the context that agents draw from it.

    Attributes:
        training: what the auto-encoder learns from. `masked`, as MA2E was published: the windows of all agents that the
            rule does not hide. `one_view`: one agent's window, as when acting; it guesses the team-mates that the rule
            chose, whether they live and what they do next.
        encoder_layers, decoder_layers: layers of the transformer.
        mlp_ratio: width of the hidden layers in the transformer's feed-forward parts, in D.
        optimiser: `muon`, which learned to guess in half of Adam's steps, or `adam`.
        learning_rate: step size for the auto-encoder; Muon needs one several times as large as Adam's.
        max_grad_norm: the auto-encoder's gradients are clipped to this global norm.
        loss_weight: lambda, factor on the auto-encoder's loss; only with `td_gradient_to_mae`, since otherwise the
            auto-encoder has no other loss, and its optimiser cancels the factor.
        pretrain_updates_per_iteration: gradient steps in pre-training after each collected block of `env.num_envs`
            rows.
        freeze_after_pretraining: whether the auto-encoder is frozen after phase 1; a control. Only the masking rule's
            probability then has an effect.
        td_gradient_to_mae: whether the TD loss also trains the auto-encoder.
        target_copy: whether the target network has a copy of the auto-encoder from the last target update; otherwise
            it shares the online network's reconstruction, which is cheaper.
    """

    traced: ClassVar[tuple[str, ...]] = ("learning_rate", "max_grad_norm", "loss_weight")

    training: str = "one_view"
    encoder_layers: int = 1
    decoder_layers: int = 1
    mlp_ratio: int = 1
    optimiser: str = "muon"
    learning_rate: float = 0.02
    max_grad_norm: float = 1.0
    loss_weight: float = 1.0
    pretrain_updates_per_iteration: int = 32
    freeze_after_pretraining: bool = False
    td_gradient_to_mae: bool = False
    target_copy: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = "encoder_layers decoder_layers mlp_ratio learning_rate max_grad_norm loss_weight"
        self._positive(*positive.split(), "pretrain_updates_per_iteration")
        self._at_most(MAX_LAYERS, "encoder_layers", "decoder_layers", "mlp_ratio")
        self._at_most(MAX_UPDATES, "pretrain_updates_per_iteration")
        self._one_of("training", "one_view", "masked")
        self._one_of("optimiser", "muon", "adam")
        fix = "has no effect without mae.td_gradient_to_mae=true: leave it out"
        self._check(self.loss_weight == 1 or self.td_gradient_to_mae, "loss_weight", fix)
        fix = "mae.td_gradient_to_mae=true would train it; set one of the two to false"
        self._check(not (self.freeze_after_pretraining and self.td_gradient_to_mae), "freeze_after_pretraining", fix)
