"""The masking rules as plain data, so that the command line can check a name without importing jax."""

from __future__ import annotations

from typing import NamedTuple

from limae_jax.registry import check_name

GRANULARITIES = ("batch", "row", "step")


class RuleSummary(NamedTuple):
    """The summary of a rule in `limae-jax list masking`.

    Attributes:
        formula: when agent i is hidden; delta is its mean absolute TD error, theta the mean of delta over the agents.
        granularities: supported granularities, the default first.
        is_control: whether the rule is only a control in experiments.
    """

    formula: str
    granularities: tuple[str, ...] = GRANULARITIES
    is_control: bool = False


RULES = {
    "random": RuleSummary("Bernoulli(p), at least one hidden and one visible", ("row", "batch", "step")),
    "mean_td": RuleSummary("delta_i > theta (1 + tolerance), else the top k"),
    "ema": RuleSummary("as mean_td on s_i <- (1 - alpha) s_i + alpha delta_i, bias-corrected", ("batch",)),
    "vds": RuleSummary(
        "as mean_td on Var over episodes(delta_i) relu(slope of delta_i over K batches)",
        ("batch",),
    ),
    "refds": RuleSummary(
        "as mean_td on delta_i(t) weighted by exp(-(steps to the episode's end) / tau)",
    ),
    "obs_weighted": RuleSummary("as mean_td on delta_i(t) x share of non-zero observation features"),
    "all_but_one": RuleSummary("all but one agent, which rotates from batch to batch", ("batch",), True),
    "random_matched": RuleSummary("as many as mean_td would hide, agents shuffled", is_control=True),
    "inverse_td": RuleSummary("the lowest delta_i, as many as mean_td would hide", is_control=True),
}


def check_rule(name: str) -> str:
    """Returns `name`, or raises InputError with the known names."""
    return check_name("masking.name", name, RULES)
