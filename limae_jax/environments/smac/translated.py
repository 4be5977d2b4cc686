"""StarCraft II games for a team that was trained on SMAX."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np

from limae_jax.catalogue.scenarios import STOP_ACTION
from limae_jax.catalogue.smac_maps import NO_OP_ACTION
from limae_jax.environments.smac.translate import Seen, Translator
from limae_jax.environments.workers.games import Games, GamesBetween
from limae_jax.environments.workers.records import Steps


class TranslatedGames(GamesBetween):
    """Wraps `games` with SMAX's observations and actions; rewards and records are still SMAC's.

    `Steps.state` is zero: SMAX's state cannot be filled faithfully, and no team acts on it.
    """

    def __init__(self, games: Games, translator: Translator):
        super().__init__(games)
        self._spec = translator.spec
        # One program for all workers, and one transfer per step.
        self._see = jax.jit(jax.vmap(translator.see))
        self._blank = translator.blank()
        self._seen: Seen = self._blank
        self._numbers = self._is_dead = np.zeros(0)

    def reset(self) -> Steps:
        """Returns the first observations, translated as the start of an episode even where `is_first` is False."""
        steps = self._games.reset()
        num_workers = len(steps.avail)
        self._seen = jax.tree.map(lambda x: np.broadcast_to(x, (num_workers, *x.shape)), self._blank)
        nothing = np.full((num_workers, self._spec.num_agents), STOP_ACTION, np.int32)
        # Episodes that another team has begun get their frame here.
        return self._translated(steps, nothing, np.ones(num_workers, bool))

    def step(self, action: np.ndarray) -> Steps:
        """See `workers.pool.WorkerPool.step`.

        Args:
            action: [W, A] integers in SMAX's numbering.
        """
        action = np.asarray(action, np.int32)
        theirs = np.where(self._is_dead, NO_OP_ACTION, np.take_along_axis(self._numbers, action, axis=1))
        steps = self._games.step(theirs)
        return self._translated(steps, action, steps.is_first)

    def _translated(self, steps: Steps, last_action: np.ndarray, starts: np.ndarray) -> Steps:
        facts = steps.facts
        if facts is None:
            raise ValueError("a team that was trained on SMAX needs games with shows_units=True")
        view, self._seen = self._see(
            self._seen, last_action, starts, facts.allies, facts.enemies, facts.enemy_slots, steps.avail
        )
        self._numbers, self._is_dead = np.asarray(view.numbers), steps.avail[..., NO_OP_ACTION]
        state = np.zeros((len(steps.avail), self._spec.state_size), np.float32)
        return replace(steps, obs=np.asarray(view.obs), state=state, avail=np.asarray(view.avail))
