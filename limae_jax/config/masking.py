"""Settings of the masking rules, which choose the agents that the auto-encoder must guess."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limae_jax.catalogue.masking_rules import RULES, check_rule
from limae_jax.checks import Section, check_one_of
from limae_jax.config.bounds import MAX_UPDATES


@dataclass(frozen=True)
class MaskingConfig(Section):
    """What all rules have; `limae-jax list masking` shows the rules.

    Attributes:
        name: rule; the system has one of its own.
        granularity: one mask for each `batch`, `row` or `step` (a window of mae.window steps); null is the rule's own.
        probability: p of hiding an agent, in `random` and while pre-training.
    """

    section: ClassVar[str] = "masking"
    traced: ClassVar[tuple[str, ...]] = ("probability",)

    name: str = "random"
    granularity: str | None = None
    probability: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rule(self.name)
        self._check(0 < self.probability < 1, "probability", "must be between 0 and 1")
        if self.granularity is not None:
            check_one_of("masking.granularity", self.granularity, RULES[self.name].granularities)

    @property
    def unit(self) -> str:
        """The granularity in force."""
        return self.granularity or RULES[self.name].granularities[0]


@dataclass(frozen=True)
class ThresholdConfig(MaskingConfig):
    """Rules that hide the agents whose score is above the team's mean.

    Attributes:
        tolerance: a score counts as high if it exceeds the mean by this fraction.
        top_k: agents hidden if no score is high.
    """

    traced: ClassVar[tuple[str, ...]] = ("probability", "tolerance")

    name: str = "mean_td"
    tolerance: float = 0.02
    top_k: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("top_k")
        self._check(self.tolerance >= 0, "tolerance", "must not be negative")


@dataclass(frozen=True)
class EmaConfig(ThresholdConfig):
    """Scores averaged over the batches.

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
    """Variance between episodes times the slope over batches.

    Attributes:
        history_batches: K, batches that the slope is taken over.
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
    """Errors weighted by how near the episode's end is.

    Attributes:
        time_constant_steps: tau, environment steps.
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
