"""What distinguishes the systems of the value-decomposition family: `ValueBasedSpec`, and functions to make it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import optax
from flax import linen as nn

from limae_jax.config import TrainConfig, ValueBasedConfig
from limae_jax.networks.agent import GruAgent
from limae_jax.systems.base import Auxiliary, Phase, TeamModel
from limae_jax.types import EnvSpec


def value_based(config: TrainConfig) -> ValueBasedConfig:
    """Returns the settings of the learner; raises ValueError if they belong to another family."""
    if not isinstance(config.system, ValueBasedConfig):
        raise ValueError(f"system={config.system.name} does not learn values from replayed rows")
    return config.system


def td_optimiser(config: ValueBasedConfig) -> optax.GradientTransformation:
    """Clips the gradients to a global norm, then applies Adam (Kingma & Ba 2015)."""
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(config.learning_rate))


def mixer_of(config: TrainConfig) -> str | None:
    """Returns the name of the mixer; None if each agent learns alone."""
    return None if config.mixing.name == "none" else config.mixing.name


class ValueBasedSpec(NamedTuple):
    """The specification of a value-based system.

    Attributes:
        mixer: key of `MIXERS`; None learns from each agent's own TD error on the team reward.
        make_agent: (spec, config) -> agent network with the signature of `GruAgent`.
        auxiliaries: further losses.
        optimisers: label -> transformation; each label clips and steps separately.
        train_labels: labels that step in the last phase; None is all labels.
        target_rules: part of the parameters -> rule in `TARGET_RULES`; other parts have no target copy.
        team_model: gives the agents beliefs about their team.
        phases: (core, config) -> phases between warm-up and training, which may use the functions of `core`, the
            system's `value_based.ValueBasedCore`.
    """

    mixer: str | None
    make_agent: Callable[[EnvSpec, ValueBasedConfig], nn.Module] = lambda spec, config: GruAgent(
        spec.num_actions, config.hidden_size
    )
    auxiliaries: tuple[Auxiliary, ...] = ()
    optimisers: Mapping[str, Callable[[ValueBasedConfig], optax.GradientTransformation]] = {"td": td_optimiser}
    train_labels: tuple[str, ...] | None = None
    target_rules: Mapping[str, str] = {"agent": "hard", "mixer": "hard"}
    team_model: TeamModel | None = None
    phases: Callable[[Any, TrainConfig], tuple[Phase, ...]] = lambda core, config: ()
