"""Programs of a run whose games run on the host: as in `setup`, but rollouts are not compiled."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh

from limae_jax.keys import Stream, stream_key
from limae_jax.rollouts.host_player import HostPlayer, means_of
from limae_jax.rollouts.rollout import RolloutState
from limae_jax.systems.base import Params, Phase
from limae_jax.training.compiler import Compiler
from limae_jax.training.loop import ChunkMetrics, Parts, SeedState, exploration_of, store_and_learn
from limae_jax.training.seed_program import SeedProgram
from limae_jax.types import Clock, Metrics, Rows


class HostChunk:
    """One iteration of one seed, (SeedState, Clock) -> (SeedState, metrics); leaves have a leading [1].

    The state is donated only after the rows are collected, so games that fail for good cost only that iteration.
    """

    def __init__(self, parts: Parts, phase: Phase, player: HostPlayer, mesh: Mesh, compiler: Compiler):
        self._parts, self._phase, self._player = parts, phase, player
        self._exploration = jax.jit(partial(exploration_of, parts, phase))
        self._take_in = SeedProgram(self._learn, mesh, phase.name, compiler, donate=True)

    def _learn(
        self, state: SeedState, clock: Clock, collected: tuple[RolloutState, Rows, Metrics]
    ) -> tuple[SeedState, ChunkMetrics]:
        return store_and_learn(self._parts, self._phase, state, clock, *collected)

    def __call__(self, state: SeedState, clock: Clock) -> tuple[SeedState, ChunkMetrics]:
        """Plays one iteration and learns from it."""
        seed = int(state.seed[0])
        exploration = self._exploration(jax.tree.map(lambda x: x[0], state.counters))
        key = stream_key(np.int32(seed), Stream.EXPLORE, clock.iteration)
        length = self._parts.config.replay.row_length
        collected = self._player.collect(seed, state.learner.params, exploration, length, key)
        return self._take_in(state, clock, collected)


class HostEvaluation:
    """Greedy episodes of one seed, ((seeds [1], params, iteration [1]),) -> metrics [1]."""

    def __init__(self, player: HostPlayer, num_episodes: int):
        self._player, self._num_episodes = player, num_episodes

    def __call__(self, team: tuple[jax.Array, Params, jax.Array]) -> dict[str, np.ndarray]:
        """Plays the episodes; returns the metrics of `evaluator.evaluate_seed`, [1] each."""
        seed, params, iteration = int(team[0][0]), team[1], np.asarray(team[2])[0]
        key = stream_key(np.int32(seed), Stream.EVAL, iteration)
        records = self._player.evaluate(seed, params, self._num_episodes, key)
        return {name: np.asarray([value]) for name, value in means_of(records).items()}
