"""Games of SMAC that follow a script, in place of worker processes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import smac_battles

from limae_jax.environments.smac.maps import SMAC_MAPS, smac_sizes
from limae_jax.environments.smac.records import LOOPS_PER_SECOND, EpisodeRecord, GameInfo

# Length and end of a worker's episodes, over and over.
SCRIPT = ((3, "won"), (5, "lost"), (2, "limit"))
END_REWARD = 7.0


class ScriptedGames:
    """Workers with the interface of `pool.WorkerPool`; worker w begins at episode w of SCRIPT.

    The last ally is dead from an episode's second step on. Every action that is not available is an error.

    Attributes:
        actions: that were played, [T, W, A].
        replays: where they were saved.
    """

    def __init__(self, scenario: str, num_workers: int, discards: tuple[tuple[int, int], ...] = ()):
        """Makes games.

        Args:
            scenario: map.
            num_workers: W, at most 4.
            discards: (step, worker) at which games fail; the first step is 0.
        """
        self.scenario, self.num_workers, self.discards = scenario, num_workers, discards
        self.crashes = self.discarded = self.num_steps = 0
        self.actions: list[np.ndarray] = []
        self.replays: list = []
        self.is_closed = False
        self.num_allies, num_enemies = smac_battles.sizes(scenario)
        generator = np.random.default_rng(0)
        self.battle = smac_battles.start_of(scenario, generator)
        self.enemy_slots = np.tile(generator.permutation(num_enemies), (4, 1))
        size = smac_sizes(scenario)
        self.info = GameInfo(scenario, size.num_agents, num_enemies, *size[1:], "7", 8, "4.10")
        self._episode, self._length = list(range(num_workers)), [0] * num_workers
        self._records: list[EpisodeRecord] = []
        self._steps = None

    def reset(self):
        """All begin; once only, as it would launch new games."""
        assert self._steps is None
        return self._see({}, set(range(self.num_workers)), set())

    def step(self, action):
        """Follows the script."""
        assert action.shape == (self.num_workers, self.num_allies)
        self.actions.append(action.copy())
        ends, starts, failed = {}, set(), set()
        for worker in range(self.num_workers):
            if self._steps.terminal[worker] or self._steps.truncated[worker]:
                starts.add(worker)
                continue
            legal = np.take_along_axis(self._steps.avail[worker], action[worker][:, None], axis=1)
            assert legal.all(), f"worker {worker} played {action[worker]}"
            if (self.num_steps, worker) in self.discards:
                failed.add(worker)
                starts.add(worker)
                continue
            self._length[worker] += 1
            length, end = SCRIPT[self._episode[worker] % len(SCRIPT)]
            if self._length[worker] == length:
                ends[worker] = end
                self._records.append(self._record(worker, end))
                self._episode[worker] += 1
        self.num_steps += 1
        self.crashes += len(failed)
        self.discarded += len(failed)
        return self._see(ends, starts, failed)

    def take_records(self):
        """Those since the last call."""
        records, self._records = self._records, []
        return records

    def save_replays(self, folder):
        """Notes the folder."""
        self.replays.append(folder)

    def close(self):
        """Once."""
        assert not self.is_closed
        self.is_closed = True

    def _record(self, worker, end):
        length = self._length[worker]
        return EpisodeRecord(
            worker=worker,
            won=end == "won",
            length=length,
            seconds=length * 8 / LOOPS_PER_SECOND,
            episode_return=END_REWARD * (end == "won"),
            dead_allies=1,
            dead_enemies=len(SMAC_MAPS[self.scenario].enemies) * (end == "won"),
            truncated=end == "limit",
        )

    def _see(self, ends, starts, failed):
        for worker in starts:
            self._length[worker] = 0
        is_dead = np.zeros((4, self.battle.health.shape[1]), bool)
        is_dead[: self.num_workers, self.num_allies - 1] = [length > 0 for length in self._length]
        battle = self.battle._replace(
            health=np.where(is_dead, 0, self.battle.health), shield=np.where(is_dead, 0, self.battle.shield)
        )
        facts = smac_battles.facts_of(battle, self.num_allies, self.enemy_slots)
        generator = np.random.default_rng(self.num_steps)
        avail = generator.random((4, self.num_allies, self.info.num_actions)) < 0.5
        avail[..., :2] = [False, True]
        avail[is_dead[:, : self.num_allies]] = np.arange(self.info.num_actions) == 0
        rows = slice(self.num_workers)
        facts = type(facts)(facts.allies[rows], facts.enemies[rows], facts.enemy_slots[rows])
        steps = smac_battles.steps_of(facts, avail[rows], is_first=False)
        steps = replace(
            steps,
            obs=generator.normal(size=(self.num_workers, self.num_allies, self.info.obs_size)).astype(np.float32),
            state=np.zeros((self.num_workers, self.info.state_size), np.float32),
            is_first=self._flags(starts),
            terminal=self._flags([worker for worker, end in ends.items() if end != "limit"]),
            truncated=self._flags([worker for worker, end in ends.items() if end == "limit"]),
            is_discarded=self._flags(failed),
        )
        self._steps = replace(steps, avail=steps.avail.copy())
        return steps

    def _flags(self, workers):
        return np.isin(np.arange(self.num_workers), list(workers))
