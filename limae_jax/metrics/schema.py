"""The fields of a metrics row, which describes one seed at one evaluation."""

from __future__ import annotations

import math
from typing import Any

from limae_jax.checks import show

Row = dict[str, Any]

# Field -> type. A float may be None: `test_win_rate` in environments without wins, and values that were not finite.
FIELDS: dict[str, type] = {
    "seed": int,
    "phase": str,
    "env_steps": int,
    "grad_steps": int,
    "test_win_rate": float,
    "test_return_mean": float,
    "test_episodes": int,
    "wall_s": float,
    "env_steps_per_s": float,
    "iteration": int,
    "is_failed": bool,
}
REQUIRED_FIELDS = tuple(FIELDS)
# Bounds above any float32 and any count.
_LARGEST, _MOST = 1e39, 2**53


def make_row(**fields: Any) -> Row:
    """Makes a row with the required fields first.

    Raises:
        TypeError: a required field is missing.
    """
    missing = [name for name in REQUIRED_FIELDS if name not in fields]
    if missing:
        raise TypeError(f"a metrics row lacks {', '.join(missing)}")
    return {name: fields[name] for name in REQUIRED_FIELDS} | fields


def problem_of(row: Any) -> str:
    """Returns why a parsed line is not a valid row; empty if the row is valid."""
    if not isinstance(row, dict):
        return "is not a JSON object"
    missing = [name for name in REQUIRED_FIELDS if name not in row]
    if missing:
        return f"lacks {', '.join(missing)}"
    unsound = next((name for name, value in row.items() if not _is_sound(value, FIELDS.get(name))), None)
    return "" if unsound is None else f"has {show(unsound)}={show(row[unsound])}"


def _is_sound(value: Any, kind: type | None) -> bool:
    """Whether a value is valid in a field of type `kind`; None allows any type."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and not abs(value) < _LARGEST:  # also true of NaN
        return False
    if kind is float:
        return is_number or value is None
    if kind is int:
        return is_number and isinstance(value, int) and 0 <= value < _MOST
    return kind is None or isinstance(value, kind)


def to_plain(value: Any) -> Any:
    """Converts a value to JSON types: numpy and jax values to Python's, numbers that are not finite to None."""
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
    """Returns the rows of one evaluation as chart scalars.

    Returns:
        The largest number of environment steps, and each number as `NAME/seed_N`; for several seeds also `NAME/mean`.
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
