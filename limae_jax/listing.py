"""Tables of the command line. Nothing here imports jax."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from limae_jax.compose import config_dir, experiment_sweep, load_cell, options
from limae_jax.config import SmacConfig, SmaxConfig, TrainConfig
from limae_jax.environments.scenarios import MPE_SCENARIOS, SMAX_SCENARIOS, UNIT_LETTERS, UNIT_TYPES, smax_sizes
from limae_jax.environments.smac.maps import SMAC_MAPS, smac_sizes
from limae_jax.mae_config import MaskingConfig
from limae_jax.masking.names import RULES
from limae_jax.metrics.terminal import make_console
from limae_jax.replay.memory import row_bytes
from limae_jax.systems.names import SYSTEMS

# Columns of an evaluation that fit beside each other.
_SEEDS_ABREAST = 8


def list_things(what: str) -> None:
    """Prints one of LISTINGS."""
    LISTINGS[what](make_console())


def print_evaluation(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints a column for each evaluated seed, and their medians; some seeds at a time."""
    shared = [name for name, value in rows[0].items() if name != "seed" and isinstance(value, str)]
    about = ", ".join(f"{name} {rows[0][name]}" for name in shared)
    names = [name for name in rows[0] if name != "seed" and name not in shared]
    medians = {name: _median([row[name] for row in rows]) for name in names}
    for first in range(0, len(rows), _SEEDS_ABREAST):
        some = rows[first : first + _SEEDS_ABREAST]
        with_medians = len(rows) > 1 and some[-1] is rows[-1]
        titles = [f"seed {row['seed']}" for row in some] + ["median"] * with_medians
        table = _table(f"Greedy evaluation: {about}", [""], titles)
        for name in names:
            values = [row[name] for row in some] + [medians[name]] * with_medians
            table.add_row(name.removeprefix("test_").replace("_", " "), *map(_number, values))
        make_console().print(table)


# Title, field of a row, format of the columns of an evaluation in SMAC.
_SMAC_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("win\nrate", "test_win_rate", ".3f"),
    ("95 %\ninterval", "", ""),
    ("epi-\nsodes", "test_episodes", ","),
    ("return", "test_return_mean", ".2f"),
    ("steps", "test_length_mean", ".1f"),
    ("seconds", "test_seconds_mean", ".1f"),
    ("time\nlimit", "test_timeouts", ","),
    ("own\ndead", "test_ally_deaths_mean", ".2f"),
    ("enemies\ndead", "test_enemy_deaths_mean", ".2f"),
    ("crashes", "crashes", ","),
    ("dis-\ncarded", "discarded_episodes", ","),
)


@contextlib.contextmanager
def smac_evaluations() -> Iterator[tuple[Callable[[str], None], Callable[[Mapping[str, Any]], None]]]:
    """Gives two functions: one shows what is going on, where somebody looks; the other prints a report."""
    console = make_console()
    with console.status("") as line:
        yield lambda text: line.update(escape(text)), lambda report: _print_smac_evaluation(console, report)


def _print_smac_evaluation(console: Console, report: Mapping[str, Any]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("\nseed", no_wrap=True)
    for title, _, _ in _SMAC_COLUMNS:
        table.add_column(title if "\n" in title else f"\n{title}", justify="right", no_wrap=True)
    rows = report["seeds"]
    for row in rows:
        table.add_row(str(row["seed"]), *_smac_cells(row))
    if len(rows) > 1:
        table.add_row(f"all {len(rows)}", *_smac_cells(report["over_seeds"]), style="bold")
    played = f"{report['system']} on {report['map']} in StarCraft II {report['game_version'] or ''}".rstrip()
    console.print(f"[bold]{escape(played)}[/], difficulty {report['difficulty']}, {escape(_how(report))}")
    trained = f"{report['run']}, {report['checkpoint']} checkpoint, {_training(report)}"
    console.print(Text(trained), soft_wrap=True)
    console.print()
    console.print(table)
    over_seeds = "; of all seeds: bootstrap over them" if len(rows) > 1 else ""
    console.print(f"[dim]interval of a seed: Wilson{over_seeds}[/]")
    console.print("[dim]greedy play; return in SMAC's units, a perfect win brings 20[/]")
    console.print(Text(f"{report['file']}\n"), soft_wrap=True)


def _smac_cells(row: Mapping[str, Any]) -> list[str]:
    low, high = row["test_win_rate_low"], row["test_win_rate_high"]
    return [f"{row[name]:{form}}" if name else f"{low:.3f}-{high:.3f}" for _, name, form in _SMAC_COLUMNS]


def _how(report: Mapping[str, Any]) -> str:
    if report["mode"] == "native":
        return f"{report['step_mul']} game loops a step"
    view = "privileged: sees more than SMAC shows" if report["is_privileged"] else "sees what SMAC shows"
    options = f"sight {report['sight']}, attack mask {report['attack_mask']}; {view}"
    return f"{report['step_mul']} game loops a step\ntranslated: {options}"


def _training(report: Mapping[str, Any]) -> str:
    where = "SMAC" if report["mode"] == "native" else f"SMAX ({report['profile']})"
    return f"trained on {report['trained_on']} of {where}"


def _median(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.median(present) if present else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else f"{value:,}"


def _table(title: str, text: Sequence[str], numbers: Sequence[str] = ()) -> Table:
    table = Table(title=escape(title), title_justify="left")
    for name in text:
        table.add_column(name, no_wrap=name == text[0])
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _scenarios(console: Console) -> None:
    numbers = ("agents", "obs", "state", "actions", "limit", "row bytes")
    table = _table("env=smax", ("env.scenario", "allies", "enemies"), numbers)
    for name, scenario in SMAX_SCENARIOS.items():
        config = TrainConfig(env=SmaxConfig(scenario=name))
        sizes = smax_sizes(SmaxConfig(scenario=name))
        teams = (scenario.unit_types[: scenario.num_allies], scenario.unit_types[scenario.num_allies :])
        described = [f"{len(team)} random" if scenario.random_unit_types else _team(team) for team in teams]
        table.add_row(name, *described, *map(str, sizes), f"{row_bytes(config, sizes):,}")
    console.print(table)
    letters = ", ".join(f"{letter} {UNIT_TYPES[index]}" for letter, index in UNIT_LETTERS.items())
    console.print(
        "Any other battle by its name: <team> against the same, or <team>_vs_<team>, a team being counts and units\n"
        f"({letters}), as in 2s3z or 3s_vs_4z.\n"
        f"A replay row holds replay.row_length={TrainConfig().replay.row_length} steps;"
        f" replay.capacity_rows={TrainConfig().replay.capacity_rows} rows are kept for each seed.\n"
    )
    table = _table("env=mpe", ("env.scenario", "task"), ("agents",))
    for name, particles in MPE_SCENARIOS.items():
        table.add_row(
            name, particles.summary, f"{particles.num_agents}{' or env.num_agents' if particles.resizable else ''}"
        )
    console.print(table)
    table = _table("env=smac, real StarCraft II", ("env.scenario", "allies", "enemies"), numbers)
    for name, battle in SMAC_MAPS.items():
        config, sizes = TrainConfig(env=SmacConfig(scenario=name)), smac_sizes(name)
        described = [_named_team(team) for team in (battle.allies, battle.enemies)]
        table.add_row(name, *described, *map(str, sizes), f"{row_bytes(config, sizes):,}")
    console.print(table)


def _named_team(units: Sequence[str]) -> str:
    counts = {unit.replace("_", " "): units.count(unit) for unit in dict.fromkeys(units)}
    return ", ".join(f"{count} {_plural(unit) if count > 1 else unit}" for unit, count in counts.items())


def _plural(unit: str) -> str:
    return f"{unit.removesuffix('us')}i" if unit.endswith("us") else f"{unit}s"


def _team(unit_types: Sequence[int]) -> str:
    return _named_team([UNIT_TYPES[unit] for unit in unit_types])


def _systems(console: Console) -> None:
    table = _table("", ("system", "what it is"))
    for name, summary in SYSTEMS.items():
        table.add_row(name, summary)
    console.print(table)


def _masking(console: Console) -> None:
    table = _table("", ("rule", "hidden are", "settings", "granularity", "use"))
    defaults = MaskingConfig()
    for name, rule in RULES.items():
        settings = [f"masking.{setting}={getattr(defaults, setting)}" for setting in rule.parameters]
        granularities = ", ".join(rule.granularities)
        use = "control" if rule.is_control else "training"
        table.add_row(name, escape(rule.formula), "\n".join(settings), granularities, use)
    console.print(table)
    console.print(
        "delta_i is agent i's mean absolute TD error, theta the mean of delta over the agents.\n"
        "Of masking.granularity, one mask for each of these, a rule's own comes first; a step is a window of\n"
        "mae.window steps."
    )


def _experiments(console: Console) -> None:
    table = _table("", ("experiment", "what it is", "system", "scenario"), ("seeds", "env steps"))
    for name in options("experiment"):
        config, sweep = load_cell([f"experiment={name}"]), experiment_sweep(f"experiment={name}")
        runs = math.prod(len(axis) for axis in sweep.get("axes", ()))
        what = (f"sweep of {runs} cells", "") if sweep else (config.system.name, config.env.scenario)
        table.add_row(escape(name), _summary(name), *what, str(config.run.num_seeds), f"{config.run.total_env_steps:,}")
    console.print(table)


def _summary(experiment: str) -> str:
    lines = (config_dir() / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    return escape(next((comment for comment in comments if not comment.startswith("@")), ""))


LISTINGS: dict[str, Callable[[Console], None]] = {
    "scenarios": _scenarios,
    "systems": _systems,
    "masking": _masking,
    "experiments": _experiments,
}
