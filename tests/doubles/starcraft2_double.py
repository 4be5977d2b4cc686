"""A double of SMAC's `StarCraft2Env` that plays scripts. It runs in worker processes and imports no jax.

`GameSettings.options` say what happens; all are optional:
    script: (end, length) of each episode in turn, from the front when used up; end is "win", "loss" or "limit".
    fault: (kind, call) or (kind, call, worker's seed): at the call-th `step`, or `reset` for "stale", counted over the
        episodes of each environment. See `_FAULTS`.
    once: a file; the fault strikes only if it can be made.
    pids: a folder for empty files named by the process ids of workers and games.
    game: arguments of the process that stands for the game.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from limae_jax.catalogue.smac_game import GameSettings
from limae_jax.catalogue.smac_maps import SMAC_MAPS, smac_sizes
from limae_jax.errors import InputError

FACTORY = "doubles.starcraft2_double:make_double"
MARINE_ID = 1970
OBEDIENT = ["sleep", "600"]
UNKILLABLE = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]


def make_double(settings: GameSettings) -> Double:
    if settings.options.get("missing"):
        raise InputError(settings.options["missing"])
    return Double(settings)


class Double:
    """Marines of 3m that stand about. obs of agent i is [episode, step, i, seed, whether jax was imported, 0...]."""

    def __init__(self, settings: GameSettings):
        self._settings, self._options = settings, settings.options
        self._sizes, self.n_enemies = smac_sizes(settings.map_name), SMAC_MAPS[settings.map_name].num_enemies
        self._script = self._options.get("script", [("win", 3)])
        self._episode = self._step = self.timeouts = self.force_restarts = 0
        self._calls = {"step": 0, "reset": 0}
        self._is_over, self._game, self.reported_version = True, None, None
        self.agents: dict[int, Any] = {}
        self.enemies: dict[int, Any] = {}
        self.marine_id = MARINE_ID
        self._note(os.getpid())
        # As SMAC does.
        atexit.register(self.close)

    def get_env_info(self) -> dict[str, int]:
        sizes = self._sizes
        return {
            "n_agents": sizes.num_agents,
            "obs_shape": sizes.obs_size,
            "state_shape": sizes.state_size,
            "n_actions": sizes.num_actions,
            "episode_limit": sizes.episode_limit,
        }

    def reset(self) -> None:
        if self._game is None:
            self._game = subprocess.Popen(self._options.get("game", OBEDIENT))
            self._note(self._game.pid)
            self.reported_version = "1.2.3"
        elif self._episode == 0 or not self._is_over:
            raise AssertionError("reset in the middle of an episode")
        self._episode, self._step, self._is_over = self._episode + 1, 0, False
        size = self._sizes.num_agents
        self.agents = {slot: _unit(MARINE_ID, slot, 1.0 + slot) for slot in range(size)}
        # The game lists enemies in no particular order.
        self.enemies = {slot: _unit(48, 100 - slot, 20.0 + slot) for slot in range(self.n_enemies)}
        self._strike("reset")

    def step(self, actions: list[int]) -> tuple[float, bool, dict[str, Any]]:
        if self._is_over:
            raise AssertionError("step after an episode's end")
        if self._strike("step"):
            self._is_over = True
            return 0, True, {}
        end, length = self._script[(self._episode - 1) % len(self._script)]
        self._step += 1
        self._is_over = self._step == length
        if self._is_over and end != "limit":
            for unit in (self.enemies if end == "win" else self.agents).values():
                unit.health = 0.0
        self.timeouts += self._is_over and end == "limit"
        dead = [sum(unit.health == 0 for unit in team.values()) for team in (self.agents, self.enemies)]
        info = {"battle_won": self._is_over and end == "win", "dead_allies": dead[0], "dead_enemies": dead[1]}
        return float(self._step + 0.1 * actions[0]), self._is_over, info

    def get_obs(self) -> list[np.ndarray]:
        seen = [self._episode, self._step, 0, self._settings.seed, "jax" in sys.modules]
        rows = np.zeros((self._sizes.num_agents, self._sizes.obs_size))
        rows[:, :5] = seen
        rows[:, 2] = np.arange(len(rows))
        return list(rows)

    def get_state(self) -> np.ndarray:
        return np.full(self._sizes.state_size, self._step)

    def get_avail_actions(self) -> list[list[int]]:
        """The living may stop and walk, the dead do nothing; nobody is in range."""
        width = self._sizes.num_actions
        living, dead = [0] + [1] * 5 + [0] * (width - 6), [1] + [0] * (width - 1)
        return [living if unit.health > 0 else dead for unit in self.agents.values()]

    def save_replay(self) -> None:
        (Path(self.replay_dir) / f"{self.replay_prefix}.SC2Replay").write_text("replay")

    def close(self) -> None:
        if self._game is not None:
            self._game.terminate()
            self._game.wait()

    def _note(self, pid: int) -> None:
        if "pids" in self._options:
            (Path(self._options["pids"]) / str(pid)).touch()

    def _strike(self, call: str) -> bool:
        """Whether the fault is SMAC's own way of failing: a new game, and not a word."""
        self._calls[call] += 1
        kind, when, *who = self._options.get("fault", ("none", 0))
        is_here = call == ("reset" if kind == "stale" else "step") and self._calls[call] == when
        if not is_here or (who and who[0] != self._settings.seed):
            return False
        if "once" in self._options:
            try:
                open(self._options["once"], "x").close()
            except FileExistsError:
                return False
        return _FAULTS[kind](self)


def _unit(unit_type: int, tag: int, x: float) -> SimpleNamespace:
    place = SimpleNamespace(x=x, y=10.0)
    values = {"health": 45.0, "health_max": 45.0, "shield": 0.0, "shield_max": 0.0, "weapon_cooldown": 0.0}
    return SimpleNamespace(unit_type=unit_type, tag=tag, pos=place, **values)


def _restart(double: Double) -> bool:
    double.force_restarts += 1
    return True


def _raise(double: Double) -> bool:
    print("the game's last words", file=sys.stderr, flush=True)
    raise ConnectionError("the socket is closed")


def _kill(double: Double) -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return True


def _hang(double: Double) -> bool:
    time.sleep(600)
    return True


_FAULTS = {"restart": _restart, "stale": _restart, "raise": _raise, "kill": _kill, "hang": _hang}
