"""What a row of metrics says: one seed at one evaluation."""

from __future__ import annotations

import math
from typing import Any

Row = dict[str, Any]

# `test_win_rate` is None where nothing is won or lost.
REQUIRED_FIELDS = (
    "seed",
    "phase",
    "env_steps",
    "grad_steps",
    "test_win_rate",
    "test_return_mean",
    "test_episodes",
    "wall_s",
    "env_steps_per_s",
)


def make_row(**fields: Any) -> Row:
    """A row with the required fields in front.

    Raises:
        TypeError: a required field is missing.
    """
    missing = [name for name in REQUIRED_FIELDS if name not in fields]
    if missing:
        raise TypeError(f"a metrics row lacks {', '.join(missing)}")
    return {name: fields[name] for name in REQUIRED_FIELDS} | fields


def to_plain(value: Any) -> Any:
    """`value` as JSON can hold it: numpy and jax values as Python's, what is not finite as None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(name): to_plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def seed_scalars(rows: list[Row]) -> tuple[int, dict[str, float]]:
    """The rows of one evaluation as a chart needs them.

    Returns:
        The most environment steps among the rows, and each number as `NAME/seed_N`; of several seeds, `NAME/mean` too.
    """
    values: dict[str, dict[int, float]] = {}
    for row in map(to_plain, rows):
        for name, value in row.items():
            if name != "seed" and isinstance(value, int | float):
                values.setdefault(name, {})[row["seed"]] = float(value)
    scalars: dict[str, float] = {}
    for name, by_seed in values.items():
        scalars |= {f"{name}/seed_{seed}": value for seed, value in by_seed.items()}
        if len(by_seed) > 1:
            scalars[f"{name}/mean"] = sum(by_seed.values()) / len(by_seed)
    return max(int(row["env_steps"]) for row in rows), scalars
