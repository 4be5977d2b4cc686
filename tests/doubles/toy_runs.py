"""Run directories that nobody trained, with metrics that are known beforehand."""

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from limae_jax.config import TrainConfig
from limae_jax.config.text import from_dict, to_yaml
from limae_jax.metrics.jsonl import JsonlWriter
from limae_jax.metrics.schema import make_row

VERSIONS = {"jaxmarl": "0.2.0", "jax": "0.10.2", "limae-jax": "0.1.0", "git_commit": "abc", "device": "cpu"}


def write_run(
    folder: Path,
    wins: Sequence[Sequence[float | None]],
    *settings: str,
    every: int = 100,
    overshoot: int = 0,
    versions: dict | None = None,
    **more: Sequence[Sequence[float]],
) -> Path:
    """A finished run: seed s has win rate `wins[s][e]` at env step (e + 1) * every; `more` are further metrics.

    Its last evaluation is `overshoot` times s + 1 steps behind the budget.
    """
    run = {"num_seeds": len(wins), "total_env_steps": len(wins[0]) * every, "dir": str(folder)}
    config = _config({"run": run, "evaluation": {"every_time_steps": every}}, settings)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    (folder / "versions.json").write_text(json.dumps(VERSIONS | (versions or {})))
    rows = []
    for seed, curve in zip(config.seeds, wins, strict=False):
        for index, win in enumerate(curve):
            fields = {name: values[seed - config.seeds[0]][index] for name, values in more.items()}
            late = overshoot * (seed - config.seeds[0] + 1) if index == len(curve) - 1 else 0
            rows.append(_row(seed, (index + 1) * every + late, win, fields))
    JsonlWriter(folder / "metrics.jsonl").write(rows)
    return folder


def make_config(*settings: str) -> TrainConfig:
    """Settings as `section.field=value`."""
    return _config({}, settings)


def _config(sections: dict, settings: Sequence[str]) -> TrainConfig:
    for setting in settings:
        name, _, value = setting.partition("=")
        section, _, field = name.partition(".")
        sections.setdefault(section, {})[field] = yaml.safe_load(value)
    return from_dict(sections)


def _row(seed: int, env_steps: int, win: float | None, fields: dict) -> dict:
    score = 0.0 if win is None else win
    return make_row(
        **{
            "seed": seed,
            "phase": "train",
            "env_steps": env_steps,
            "grad_steps": env_steps,
            "test_win_rate": win,
            "test_return_mean": 2 * score,
            "test_ally_deaths_mean": 3 - score,
            "test_enemy_deaths_mean": 3 * score,
            "test_length_mean": 20 + score,
            "test_episodes": 128,
            "wall_s": 1.0,
            "env_steps_per_s": 100.0,
            "iteration": env_steps,
            "is_failed": False,
            **fields,
        }
    )
