"""Exports the evaluations of a study for marl-eval (Gorsane et al. 2022; package `id-marl-eval`)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from limae_jax.analysis.runs import Cell, SeedCurve, Study
from limae_jax.analysis.summary import CURVES, short_metric


def marl_eval_json(study: Study) -> str:
    """Returns `{env: {task: {algorithm: {seed_0: {step_0: {step_count, METRIC: [mean]}, ...}}}}}` as JSON.

    A metric is the mean over an evaluation's episodes; all methods of a family of games have the same metrics, as
    marl-eval requires. `absolute_metrics` are those of the last evaluation, because the best policy, which the protocol
    asks for, was not evaluated again. marl-eval rejects methods that differ in seeds or evaluations.
    """
    content: dict[str, Any] = {}
    for cell in study.cells:
        metrics = _shared_metrics([other for other in study.cells if other.env == cell.env])
        runs = {f"seed_{seed.seed}": _run(seed, metrics) for seed in cell.seeds}
        content.setdefault(cell.env, {}).setdefault(cell.map, {})[cell.method] = runs
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _shared_metrics(cells: list[Cell]) -> list[str]:
    return [metric for metric in CURVES if all(cell.has(metric) for cell in cells)]


def _run(seed: SeedCurve, metrics: list[str]) -> dict[str, Any]:
    columns = {short_metric(metric): seed.metric(metric) for metric in metrics}
    is_whole = np.all([np.isfinite(column) for column in columns.values()], axis=0)
    run: dict[str, Any] = {}
    last: dict[str, list[float]] = {}
    for row in np.flatnonzero(is_whole):
        last = {name: [float(column[row])] for name, column in columns.items()}
        run[f"step_{len(run)}"] = {"step_count": int(seed.env_steps[row])} | last
    return run | {"absolute_metrics": last}
