"""Environment steps per second through the worker processes, and of oxwhirl/smac alone in one process.

Both play the same scripted actions, with no network, and read observations, state and available actions after every
step. One worker plays the same battles as the bare package: their returns are compared. Needs StarCraft II, or a
stand-in for it, at SC2PATH.

python benchmarks/smac_adapter.py --json benchmarks/results/smac_adapter.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
from host import Row, write_rows

from limae_jax.catalogue.smac_game import GameSettings
from limae_jax.environments.smac.game import make_game
from limae_jax.environments.smac.pool import BattlePool

_SEED = 1
# Steps before the measurement: a game that has just been launched is slower.
_WARM_UP = 50
# Share of the steps that are faster than `quick_step_ms`.
_QUICK = 0.02


def scripted(avail: np.ndarray, step: np.ndarray | int) -> np.ndarray:
    """Returns deterministic legal actions [..., A].

    Args:
        avail: [..., A, U] bool.
        step: [...] step of the episode.
    """
    wanted = np.asarray(step)[..., None] * 7 + np.arange(avail.shape[-2]) * 3
    return np.argmax(avail.cumsum(-1) > (wanted % avail.sum(-1))[..., None], -1)


class Meter:
    """Measures wall time, and processor time of this process and its children, from its creation on.

    Other load on the machine slows everything down; the quick steps show the time of a step without it.
    """

    def __init__(self) -> None:
        self._began, self._cpu_began = time.perf_counter(), self._cpu_s()
        self._ends = [self._began]

    def tick(self) -> None:
        """Records the end of a step of all games."""
        self._ends.append(time.perf_counter())

    @staticmethod
    def _cpu_s() -> float:
        this = psutil.Process()
        times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    def rates(self, num_steps: int) -> dict[str, float]:
        """Returns the rates for the number of steps so far."""
        seconds, cpu_s = time.perf_counter() - self._began, self._cpu_s() - self._cpu_began
        return {
            "env_steps_per_s": round(num_steps / seconds, 1),
            "cpu_ms_per_step": round(1e3 * cpu_s / num_steps, 3),
            "quick_step_ms": round(1e3 * float(np.quantile(np.diff(self._ends), _QUICK)), 3),
        }


def play_bare(map_name: str, num_steps: int) -> Row:
    """Measures SMAC alone."""
    make_game(GameSettings(map_name))  # so that it can be imported
    from smac.env import StarCraft2Env

    env = StarCraft2Env(map_name=map_name, seed=_SEED)
    env.reset()
    returns, in_episode, meter = [0.0], 0, Meter()
    for step in range(_WARM_UP + num_steps):
        if step == _WARM_UP:
            meter = Meter()
        actions = scripted(np.asarray(env.get_avail_actions(), bool), in_episode)
        reward, is_over, _ = env.step(actions)
        env.get_obs(), env.get_state()
        returns[-1], in_episode = returns[-1] + reward, in_episode + 1
        if is_over:
            env.reset()
            returns, in_episode = [*returns, 0.0], 0
        meter.tick()
    rates = meter.rates(num_steps)
    env.close()
    return {"workers": 0, **rates, "returns": returns[:-1]}


def play_pool(map_name: str, num_steps: int, num_workers: int) -> Row:
    """Measures the adapter over about `num_steps` steps of each worker. Starting an episode is not a step."""
    with BattlePool(GameSettings(map_name, seed=_SEED), num_workers) as pool:
        seen, in_episode = pool.reset(), np.zeros(num_workers, int)
        meter, counted, is_warm = Meter(), 0, False
        while not is_warm or counted < num_steps * num_workers:
            if not is_warm and counted >= _WARM_UP * num_workers:
                meter, counted, is_warm = Meter(), 0, True
            counted += int(np.sum(~(seen.terminal | seen.truncated)))
            seen = pool.step(scripted(seen.avail, in_episode))
            in_episode = np.where(seen.is_first, 0, in_episode + 1)
            meter.tick()
        returns = [record.episode_return for record in pool.take_records() if record.worker == 0]
        return {"workers": num_workers, **meter.rates(counted), "returns": returns}


def measure(map_name: str, num_steps: int, num_workers: int) -> Row:
    """Runs one measurement in a new process; 0 workers is the bare package."""
    command = [sys.executable, __file__, "--map", map_name, "--steps", str(num_steps), "--one", str(num_workers)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def check_returns(rows: list[Row]) -> int:
    """Returns how many whole episodes the bare package and the first workers both played, with equal returns."""
    bare = next(row["returns"] for row in rows if row["workers"] == 0)
    num_episodes = min(len(row["returns"]) for row in rows)
    if not all(np.allclose(row["returns"][:num_episodes], bare[:num_episodes]) for row in rows):
        raise RuntimeError("the adapter and the bare package have played different battles")
    return num_episodes


def summary(rows: list[Row], workers: list[int]) -> list[Row]:
    """Returns medians over the rounds; `ratio_to_bare` is the ratio of the speeds in the same round."""
    table, bare = [], [row["env_steps_per_s"] for row in rows if row["workers"] == 0]
    for number in workers:
        some = [row for row in rows if row["workers"] == number]
        names = ("env_steps_per_s", "cpu_ms_per_step", "quick_step_ms")
        medians = {name: round(statistics.median(row[name] for row in some), 3) for name in names}
        rates = [row["env_steps_per_s"] for row in some]
        ratio = statistics.median(rate / alone for rate, alone in zip(rates, bare, strict=True))
        table.append({"workers": number, **medians, "ratio_to_bare": round(ratio, 3), "rounds": rates})
    return table


def facts(map_name: str) -> Row:
    """Returns facts that the numbers depend on, other than the host."""
    with BattlePool(GameSettings(map_name), 1) as pool:
        pool.reset()
        game = pool.info.game_version
    packages = ("smac", "pysc2", "s2clientprotocol", "protobuf")
    return {"map": map_name, "game": game, **{name: importlib.metadata.version(name) for name in packages}}


def main() -> None:
    """Parses the command line and prints one JSON object per row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", default="3m")
    parser.add_argument("--steps", type=int, default=1000, help="steps of each worker, in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--one", type=int, metavar="W", help="measure once with W workers; 0 is the bare package")
    args = parser.parse_args()
    if args.one is not None:
        row = play_pool(args.map, args.steps, args.one) if args.one else play_bare(args.map, args.steps)
        print(json.dumps(row))
        return
    workers = [0, *args.workers]
    # In turn, so that other load on the machine affects all alike.
    rows = [measure(args.map, args.steps, number) for _ in range(args.rounds) for number in workers]
    table = summary(rows, workers)
    about = {**facts(args.map), "equal_episodes": check_returns(rows)}
    for row in table:
        print(json.dumps(row))
    if args.json:
        write_rows(args.json, [about | row for row in table])


if __name__ == "__main__":
    main()
