"""Games of a script, in this process, in place of worker processes with StarCraft II."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from limae_jax.environments.smac.records import BattleRecord, Facts
from limae_jax.environments.workers.records import EpisodeRecord, Steps
from limae_jax.types import EnvSpec


class ScriptedGames:
    """W games. obs of agent i is [episode, step, i, 0...]; the step from step k brings 1 + k.

    Nobody dies, and every action is available but 0.

    Attributes:
        actions: [W, A] of every step so far.
        is_closed: whether `close` was called.
    """

    def __init__(
        self,
        spec: EnvSpec,
        scripts: Sequence[Sequence[tuple[str, int]]],
        faults: Sequence[tuple[int, int]] = (),
    ):
        """Opens the games.

        Args:
            spec: sizes.
            scripts: of each game (end, length) of its episodes in turn, from the front when used up.
            faults: (number of the step from 0, game) where a game fails.
        """
        self._spec, self._scripts, self._faults = spec, scripts, set(faults)
        self._episode, self._step = [0] * len(scripts), [0] * len(scripts)
        self._is_over = np.ones(len(scripts), bool)
        self._records: list[EpisodeRecord] = []
        self.actions: list[np.ndarray] = []
        self.crashes = self.discarded = 0
        self.is_closed = False

    def reset(self) -> Steps:
        self._is_over[:] = True
        return self._advance(np.zeros(len(self._scripts), bool))

    def step(self, action: np.ndarray) -> Steps:
        failed = np.array([(len(self.actions), game) in self._faults for game in range(len(self._scripts))])
        self.actions.append(np.asarray(action))
        self.crashes += int(failed.sum())
        self.discarded += int((failed & ~self._is_over).sum())
        self._is_over |= failed
        return self._advance(failed)

    def take_records(self) -> list[EpisodeRecord]:
        records, self._records = self._records, []
        return records

    def close(self) -> None:
        self.is_closed = True

    def _advance(self, is_discarded: np.ndarray) -> Steps:
        is_first, size = self._is_over.copy(), len(self._scripts)
        reward, terminal, truncated = np.zeros(size, np.float32), np.zeros(size, bool), np.zeros(size, bool)
        for game, script in enumerate(self._scripts):
            if is_first[game]:
                self._episode[game], self._step[game] = self._episode[game] + 1, 0
                continue
            end, length = script[(self._episode[game] - 1) % len(script)]
            self._step[game] += 1
            reward[game] = self._step[game]
            is_end = self._step[game] == length
            truncated[game], terminal[game] = is_end and end == "limit", is_end and end != "limit"
            if is_end:
                self._records.append(self._record(game, end, length))
        self._is_over = terminal | truncated
        return self._steps(reward, is_first, terminal, truncated, is_discarded)

    def _record(self, game: int, end: str, length: int) -> BattleRecord:
        return BattleRecord(
            worker=game,
            won=end == "win",
            length=length,
            seconds=length / 2.8,
            episode_return=length * (length + 1) / 2,
            dead_allies=2 * (end == "loss"),
            dead_enemies=int(end == "win"),
            truncated=end == "limit",
        )

    def _steps(self, reward, is_first, terminal, truncated, is_discarded) -> Steps:
        spec, size = self._spec, len(self._scripts)
        obs = np.zeros((size, spec.num_agents, spec.obs_size), np.float32)
        obs[..., 0], obs[..., 1] = np.array(self._episode)[:, None], np.array(self._step)[:, None]
        obs[..., 2] = np.arange(spec.num_agents)
        avail = np.ones((size, spec.num_agents, spec.num_actions), bool)
        avail[..., 0] = False
        nothing = np.zeros((size, 0, 8), np.float32)
        return Steps(
            obs=obs,
            state=np.full((size, spec.state_size), 0.5, np.float32),
            avail=avail,
            alive=np.ones((size, spec.num_agents), bool),
            reward=reward,
            is_first=is_first,
            terminal=terminal,
            truncated=truncated,
            is_discarded=is_discarded,
            facts=Facts(nothing, nothing, np.zeros((size, 0), np.int32)),
        )
