"""Builds the replay memory from the settings."""

from __future__ import annotations

from limae_jax.config import PrioritisedReplayConfig, TrainConfig
from limae_jax.replay.base import Replay
from limae_jax.replay.none import no_replay
from limae_jax.replay.prioritised import prioritised_replay
from limae_jax.replay.uniform import uniform_replay


def build_replay(config: TrainConfig, stores_rows: bool = True) -> Replay:
    """Builds the replay memory that `replay.kind` names.

    Args:
        config: settings of the run.
        stores_rows: whether the system learns from stored rows; see `systems.base.System`.
    """
    if not stores_rows:
        return no_replay()
    if isinstance(config.replay, PrioritisedReplayConfig):
        return prioritised_replay(config.replay, config.env.num_envs)
    return uniform_replay(config.replay)
