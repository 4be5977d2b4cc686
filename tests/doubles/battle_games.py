"""Scripted games of SMAC with units, in place of worker processes: what a team trained on SMAX can be let into."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from doubles import smac_battles
from doubles.scripted_games import ScriptedGames
from limae_jax.catalogue.smac_maps import smac_sizes
from limae_jax.environments.smac.env import smac_spec
from limae_jax.environments.smac.records import Facts
from limae_jax.environments.workers.records import GameInfo, Steps

# End and length of a worker's episodes, over and over.
SCRIPT = (("win", 3), ("loss", 5), ("limit", 2))


class BattleGames(ScriptedGames):
    """W games, at most 4, which face smac_battles.FACING in turn; game w begins at entry w of SCRIPT.

    The last ally is dead from an episode's second step on. An action that is not available is an error.

    Attributes:
        info: see `pool.WorkerPool`.
        battle: the units, which stay where they are.
        enemy_slots: [4, E].
        replays: the folders where they were saved.
    """

    def __init__(self, scenario: str, num_games: int, faults: tuple[tuple[int, int], ...] = ()):
        """Opens games of a map; `faults` as for ScriptedGames."""
        super().__init__(
            smac_spec(scenario), [SCRIPT[game % 3 :] + SCRIPT[: game % 3] for game in range(num_games)], faults
        )
        generator = np.random.default_rng(0)
        self.num_allies, num_enemies = smac_battles.sizes(scenario)
        self.info = GameInfo(scenario, *smac_sizes(scenario), game_version="4.10")
        self.battle = smac_battles.start_of(scenario, generator)
        self.enemy_slots = np.tile(generator.permutation(num_enemies), (4, 1))
        self.replays: list = []
        self.shows_units = True
        self._avail = np.zeros(0)

    def step(self, action: np.ndarray) -> Steps:
        is_legal = np.take_along_axis(self._avail, action[..., None], axis=2)[..., 0].all(-1)
        assert (is_legal | self._is_over).all(), f"not legal: {action[~is_legal]}"
        return super().step(action.copy())

    def save_replays(self, folder) -> None:
        self.replays.append(folder)

    def _steps(self, *flags) -> Steps:
        steps, games = super()._steps(*flags), slice(len(self._scripts))
        is_dead = np.zeros(self.battle.health.shape, bool)
        is_dead[games, self.num_allies - 1] = np.array(self._step) > 0
        health, shield = (np.where(is_dead, 0, points) for points in (self.battle.health, self.battle.shield))
        battle = self.battle._replace(health=health, shield=shield)
        facts = smac_battles.facts_of(battle, self.num_allies, self.enemy_slots)
        facts = Facts(facts.allies[games], facts.enemies[games], facts.enemy_slots[games])
        self._avail = np.random.default_rng(len(self.actions)).random(steps.avail.shape) < 0.5
        self._avail[..., :2] = [False, True]
        is_dead = is_dead[games, : self.num_allies]
        self._avail[is_dead] = np.arange(self._avail.shape[-1]) == 0
        return replace(steps, avail=self._avail.copy(), alive=~is_dead, facts=facts if self.shows_units else None)
