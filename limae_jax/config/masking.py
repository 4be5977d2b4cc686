"""Settings of the masking rules, which choose the agents that the auto-encoder must reconstruct."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limae_jax.catalogue.masking_rules import RULES, check_rule
from limae_jax.checks import Section, check_one_of
from limae_jax.config.bounds import MAX_UPDATES


@dataclass(frozen=True)
class MaskingConfig(Section):
    """Settings that all masking rules share; `limae-jax list masking` shows the rules.

    Attributes:
        name: masking rule; each system has a default.
        granularity: one mask per `batch`, `row` or `step` (a window of mae.window steps); null is the rule's default.
        probability: p, probability of choosing an agent, in `random` and in pre-training with `mae.training=masked`.
        chooses: with `mae.training=one_view`, whether a guess counts if the rule chose the agent that is guessed
            (`targets`) or the one that guesses (`viewers`).
    """

    section: ClassVar[str] = "masking"
    traced: ClassVar[tuple[str, ...]] = ("probability",)

    name: str = "random"
    granularity: str | None = None
    probability: float = 0.75
    chooses: str = "targets"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rule(self.name)
        self._check(0 < self.probability < 1, "probability", "must be between 0 and 1")
        self._one_of("chooses", "targets", "viewers")
        if self.granularity is not None:
            check_one_of("masking.granularity", self.granularity, RULES[self.name].granularities)

    @property
    def unit(self) -> str:
        """The granularity in use."""
        return self.granularity or RULES[self.name].granularities[0]


SCORES = ("absolute", "step_centred", "credit", "disagreement")


@dataclass(frozen=True)
class ThresholdConfig(MaskingConfig):
    """Settings of rules that hide the agents whose score is above the team's mean.

    Attributes:
        tolerance: a score counts as high if it exceeds the mean by this fraction.
        top_k: number of agents hidden if no score is high.
        score: what is averaged over an agent's steps. `absolute`: |delta_i|. `step_centred`: the same minus its mean
            over the agents that live at the step. `credit`: the team's |delta| times dQ_tot/dQ_i, centred likewise.
            `disagreement`: |delta_i - mean_j delta_j| of the signed errors, centred likewise.
    """

    traced: ClassVar[tuple[str, ...]] = ("probability", "tolerance")

    name: str = "mean_td"
    tolerance: float = 0.02
    top_k: int = 1
    score: str = "absolute"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("top_k")
        self._one_of("score", *SCORES)
        self._check(self.tolerance >= 0, "tolerance", "must not be negative")


@dataclass(frozen=True)
class EmaConfig(ThresholdConfig):
    """Settings of the rule that averages scores over batches.

    Attributes:
        alpha: weight of the newest batch; 0.1 is stable, 0.9 reactive.
    """

    traced: ClassVar[tuple[str, ...]] = ("probability", "tolerance", "alpha")

    name: str = "ema"
    alpha: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(0 < self.alpha <= 1, "alpha", "must be greater than 0 and at most 1")


@dataclass(frozen=True)
class VdsConfig(ThresholdConfig):
    """Settings of the rule that scores by variance between episodes times slope over batches.

    Attributes:
        history_batches: K, number of batches for the slope.
    """

    name: str = "vds"
    history_batches: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("history_batches")
        self._at_most(MAX_UPDATES, "history_batches")
        self._check(self.history_batches >= 2, "history_batches", "must be at least 2: a slope needs two batches")


@dataclass(frozen=True)
class RefdsConfig(ThresholdConfig):
    """Settings of the rule that weights errors by how near the episode's end is.

    Attributes:
        time_constant_steps: tau, in environment steps.
    """

    traced: ClassVar[tuple[str, ...]] = ("probability", "tolerance", "time_constant_steps")

    name: str = "refds"
    time_constant_steps: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("time_constant_steps")


# Rule -> the class of its settings.
MASKING_CONFIGS: dict[str, type[MaskingConfig]] = {
    "random": MaskingConfig,
    "mean_td": ThresholdConfig,
    "ema": EmaConfig,
    "vds": VdsConfig,
    "refds": RefdsConfig,
    "obs_weighted": ThresholdConfig,
    "all_but_one": MaskingConfig,
    "random_matched": ThresholdConfig,
    "inverse_td": ThresholdConfig,
}
