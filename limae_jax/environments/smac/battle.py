"""A SMAC game, run in a worker process. Imports neither jax nor StarCraft II."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from limae_jax.catalogue.smac_game import GameSettings
from limae_jax.catalogue.smac_maps import NO_OP_ACTION
from limae_jax.environments.smac.facts import UnitReader
from limae_jax.environments.smac.records import LOOPS_PER_SECOND, BattleRecord, facts_layout
from limae_jax.environments.workers.game import Move
from limae_jax.environments.workers.messages import GameFailureError
from limae_jax.environments.workers.records import GameInfo

# Maximum seconds of a worker's turn to launch: by then, a game has nearly always bound its port.
LAUNCH_TURN_S = 2.0


class Battle:
    """A StarCraft II game; see `workers.game.WorkerGame`."""

    def __init__(self, settings: GameSettings, folder: Path):
        """Builds the environment; the first `reset` launches the game.

        Raises:
            InputError: something is not installed.
        """
        module, _, function = settings.env_factory.partition(":")
        self._settings, self._folder = settings, folder
        self._env: Any = getattr(importlib.import_module(module), function)(settings)
        self.info = _info(self._env, settings)
        self._units = UnitReader(settings.map_name)
        self._finished = 0
        self._last: dict[str, Any] = {}

    @property
    def can_break_off(self) -> bool:
        """See `workers.game.WorkerGame`.

        An environment in its first episode must not be reset: it would launch a second game and count the enemies'
        health twice in the reward scale.
        """
        return self._finished > 0

    @property
    def version(self) -> str | None:
        """Version of StarCraft II; None until a game has run."""
        return getattr(self._env, "reported_version", None)

    def reset(self) -> None:
        """Starts a battle; the first one launches the game."""
        restarts = self._env.force_restarts
        with _launch_turn(self._folder) if self._finished == 0 else contextlib.nullcontext():
            self._env.reset()
        if self._env.force_restarts != restarts:
            raise GameFailureError("the game failed at the start of an episode")
        self._units.start(self._env)

    def step(self, action: list[int]) -> Move:
        """Plays one joint action."""
        timeouts, restarts = self._env.timeouts, self._env.force_restarts
        reward, is_over, info = self._env.step(action)
        if "battle_won" not in info or self._env.force_restarts != restarts:
            raise GameFailureError("the game failed during a step")
        self._last, self._finished = info, self._finished + is_over
        # Not computed from the units: SMAC also ends a battle in which only medivacs are left.
        is_truncated = is_over and self._env.timeouts != timeouts
        return Move(reward, is_over and not is_truncated, is_truncated)

    def observe(self) -> Mapping[str, Any]:
        """See `workers.game.WorkerGame`."""
        avail = np.asarray(self._env.get_avail_actions(), bool)
        units = self._units.read(self._env) if self._settings.shows_units else {}
        return {
            "obs": self._env.get_obs(),
            "state": self._env.get_state(),
            "avail": avail,
            # In SMAC the no-op is legal for dead agents only.
            "alive": ~avail[:, NO_OP_ACTION],
            **units,
        }

    def record(self, worker: int, length: int, episode_return: float, truncated: bool) -> BattleRecord:
        """Returns the record of the battle that has just ended."""
        return BattleRecord(
            worker,
            length,
            episode_return,
            truncated,
            won=bool(self._last["battle_won"]),
            seconds=length * self._settings.step_mul / LOOPS_PER_SECOND,
            dead_allies=int(self._last["dead_allies"]),
            dead_enemies=int(self._last["dead_enemies"]),
        )

    def save_replay(self, folder: Path, worker: int) -> None:
        """Saves a replay of the game since its launch."""
        self._env.replay_dir = str(folder)
        self._env.replay_prefix = f"{self._settings.map_name}_{worker}"
        self._env.save_replay()

    def close(self) -> None:
        """Closes the game."""
        self._env.close()


def _info(env: Any, settings: GameSettings) -> GameInfo:
    sizes = env.get_env_info()
    return GameInfo(
        name=settings.map_name,
        num_agents=sizes["n_agents"],
        obs_size=sizes["obs_shape"],
        state_size=sizes["state_shape"],
        num_actions=sizes["n_actions"],
        episode_limit=sizes["episode_limit"],
        further=facts_layout(sizes["n_agents"], env.n_enemies),
    )


@contextlib.contextmanager
def _launch_turn(folder: Path) -> Iterator[None]:
    """Lets a pool's workers launch one after the other: games launched together may choose the same port."""
    with open(folder / "launch.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        timer = threading.Timer(LAUNCH_TURN_S, fcntl.flock, (lock, fcntl.LOCK_UN))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
