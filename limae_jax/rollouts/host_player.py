"""Rollouts in games that run in separate processes: the device chooses the actions, and the host steps the games.

One seed plays at a time. Its episodes continue from rows to evaluation and back to rows, as a game cannot be reset in
the middle of an episode without restarting the game.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from limae_jax.environments.workers.games import Games
from limae_jax.environments.workers.records import EpisodeRecord, Steps
from limae_jax.rollouts.rollout import RolloutState
from limae_jax.systems.base import Acted, ActorCarry, Params, System
from limae_jax.types import Rows, Timestep

# Games on the host have no per-agent rewards.
_OF_STEPS = [item.name for item in dataclasses.fields(Timestep) if item.name != "agent_reward"]


def timestep_of(steps: Steps) -> Timestep:
    """Converts steps to the acting functions' input; numpy arrays."""
    return Timestep(**{name: getattr(steps, name) for name in _OF_STEPS})


class HostPlayer:
    """Plays the games of one seed.

    Attributes:
        games: games of the current seed; None before the first seed.
    """

    def __init__(self, system: System, num_games: int, open_games: Callable[[int], Games]):
        """Opens no game yet.

        Args:
            system: the system that acts.
            num_games: W.
            open_games: seed -> its games.
        """
        self._system, self._num_games, self._open_games = system, num_games, open_games
        self._act = jax.jit(self._act_as_seed)
        self._seed: int | None = None
        self._carry: ActorCarry = system.initial_carry(num_games)
        self._steps: Any = None
        self.games: Games | None = None

    def _act_as_seed(
        self,
        params: Params,
        carry: ActorCarry,
        seen: Timestep,
        exploration: jax.Array | float,
        key: jax.Array,
        step: jax.Array | int,
    ) -> Acted:
        """Acts with `params` that have a leading axis of 1 for the seed."""
        key = jax.random.fold_in(key, step)
        return self._system.act(jax.tree.map(lambda x: x[0], params), carry, seen, exploration, key)

    def take_up(self, seed: int) -> Games:
        """Returns the games of a seed; if another seed played before, closes its games and opens new ones."""
        if self.games is None or self._seed != seed:
            self.close()
            self.games, self._seed = self._open_games(seed), seed
            self._carry, self._steps = self._system.initial_carry(self._num_games), self.games.reset()
        return self.games

    def close(self) -> None:
        """Closes the games."""
        if self.games is not None:
            self.games.close()
        self.games = self._seed = None

    def _play(
        self, games: Games, params: Params, exploration: jax.Array | float, key: jax.Array, step: int
    ) -> tuple[Steps, Acted, Steps]:
        """Plays one time step of every game; returns (`Steps` before, what was done, `Steps` after)."""
        seen = self._steps
        acted = self._act(params, self._carry, timestep_of(seen), exploration, key, step)
        self._carry = acted.carry
        acted = jax.tree.map(np.asarray, acted._replace(carry=()))
        self._steps = games.step(acted.action)
        return seen, acted, self._steps

    def collect(
        self, seed: int, params: Params, exploration: float, row_length: int, key: jax.Array
    ) -> tuple[RolloutState, Rows, dict[str, Any]]:
        """Plays `row_length` time steps in every game; returns the same as `rollout.collect_rows`.

        The steps of a discarded episode are kept, but not `filled`: they have no loss and do not count.

        Args:
            seed: the seed that plays.
            params: of the seed, with a leading axis of 1.
            exploration: exploration rate.
            row_length: T.
            key: of the exploration.
        """
        games = self.take_up(seed)
        games.take_records()
        start: ActorCarry = self._carry
        slots: list[dict[str, Any]] = []
        for step in range(row_length):
            seen, acted, next_steps = self._play(games, params, exploration, key, step)
            is_playing = ~(seen.terminal | seen.truncated)
            slots.append(_slot(seen, acted, next_steps, filled=is_playing))
            _discard(slots, is_playing & next_steps.is_discarded)
        records, seen = games.take_records(), self._steps
        no_action = jax.tree.map(np.zeros_like, acted)
        slots.append(_slot(seen, no_action, seen, filled=np.zeros(self._num_games, bool)))
        stacked: dict[str, Any] = jax.tree.map(lambda *values: np.stack(values), *slots)
        rows = Rows(**stacked, start=start)
        # Episode returns are in the records.
        rollout = RolloutState((), timestep_of(seen), self._carry, jnp.zeros(self._num_games))
        sums = {
            "env_steps": np.sum(rows.filled, dtype=np.int32),
            "episodes": np.int32(len(records)),
            "episode_return": np.float32(sum(record.episode_return for record in records)),
        }
        return rollout, rows, sums

    def evaluate(self, seed: int, params: Params, num_episodes: int, key: jax.Array) -> list[EpisodeRecord]:
        """Plays greedily until every game has finished its share of whole episodes.

        Exactly the share of each game counts: if the first N episodes to finish counted, short episodes would count
        more often than long ones. A running episode is finished first and does not count.

        Args:
            seed, params: as for `collect`.
            num_episodes: N.
            key: consumed.

        Returns:
            N records, in the order in which the episodes ended.
        """
        games = self.take_up(seed)
        games.take_records()
        share = np.full(self._num_games, num_episodes // self._num_games)
        share[: num_episodes % self._num_games] += 1
        counts = np.asarray(self._steps.is_first)
        counted: list[EpisodeRecord] = []
        step = 0
        while share.any():
            _, _, next_steps = self._play(games, params, 0.0, key, step)
            for record in games.take_records():
                if counts[record.worker] and share[record.worker]:
                    share[record.worker] -= 1
                    counted.append(record)
            counts, step = counts | next_steps.is_first, step + 1
        return counted


def _slot(seen: Steps, acted: Acted, next_steps: Steps, filled: np.ndarray) -> dict[str, Any]:
    """Makes one slot [W, ...] in the format of `rollout.make_slot`."""
    return {
        "obs": seen.obs,
        "state": seen.state,
        "avail": seen.avail,
        "alive": seen.alive,
        "action": acted.action,
        "reward": np.where(filled, next_steps.reward, np.float32(0)),
        "terminal": next_steps.terminal & filled,
        "truncated": next_steps.truncated & filled,
        "is_first": seen.is_first,
        "filled": filled,
        "extras": dict(acted.recorded or {}),
    }


def _discard(slots: list[dict[str, Any]], is_discarded: np.ndarray) -> None:
    """Empties the slots of episodes that have just been discarded, back to the start of the episode or the row."""
    for worker in np.flatnonzero(is_discarded):
        for slot in reversed(slots):
            slot["filled"][worker] = False
            slot["reward"][worker] = 0
            if slot["is_first"][worker]:
                break


def means_of(records: Sequence[EpisodeRecord]) -> dict[str, float]:
    """Returns the means over episodes that `evaluator.evaluate_seed` reports."""
    means = {
        "test_return_mean": float(np.mean([record.episode_return for record in records])),
        "test_length_mean": float(np.mean([record.length for record in records])),
    }
    for name in records[0].outcome:
        mean = float(np.mean([record.outcome[name] for record in records]))
        means["test_win_rate" if name == "win" else f"test_{name}_mean"] = mean
    return means
