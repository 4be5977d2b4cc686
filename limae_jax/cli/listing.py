"""Prints the tables of the command line. Nothing here imports jax."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from limae_jax.catalogue.jaxmarl_games import JAXMARL_GAMES, playable_games, registered_games, why_refused
from limae_jax.catalogue.masking_rules import RULES
from limae_jax.catalogue.matrix_games import MATRIX_SCENARIOS, matrix_sizes
from limae_jax.catalogue.scenarios import MPE_SCENARIOS, SMAX_SCENARIOS, UNIT_LETTERS, UNIT_TYPES, smax_sizes
from limae_jax.catalogue.smac_maps import SMAC_MAPS, smac_sizes
from limae_jax.catalogue.systems import SYSTEMS
from limae_jax.cli.doctor import Finding
from limae_jax.config import MASKING_CONFIGS, CodesConfig, MatrixConfig, RunConfig, SmacConfig, SmaxConfig, TrainConfig
from limae_jax.config.codes import CODES_SCENARIOS, codes_sizes
from limae_jax.config.compose import config_dir, options
from limae_jax.config.plugins import GAME_SUMMARIES
from limae_jax.metrics.tables import Column, fits, hanging, table
from limae_jax.metrics.terminal import make_console
from limae_jax.replay.memory import row_bytes

# Most columns of an evaluation side by side.
_SEEDS_ABREAST = 8


def list_things(what: str) -> None:
    """Prints one of LISTINGS."""
    LISTINGS[what](make_console())


def print_finding(finding: Finding) -> None:
    """Prints a finding of `limae-jax doctor` on one line, wrapped on narrow terminals."""
    console = make_console()
    line = f"{'ok' if finding.is_fine else 'FIX':4}  {finding.name:12}  {finding.text}"
    # Lines of a log are not wrapped.
    console.print(Text(hanging(line, console.width, 6) if console.is_terminal else line), soft_wrap=True)


def print_evaluation(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints a column per evaluated seed and their medians, as many side by side as fit."""
    console = make_console()
    shared = [name for name, value in rows[0].items() if name != "seed" and isinstance(value, str)]
    about = ", ".join(f"{name} {rows[0][name]}" for name in shared)
    names = [name for name in rows[0] if name != "seed" and name not in shared]
    medians = {"seed": None, **{name: _median([row[name] for row in rows]) for name in names}}
    evaluated = [*rows, medians] if len(rows) > 1 else list(rows)
    abreast = next((n for n in range(_SEEDS_ABREAST, 1, -1) if _fit_abreast(console, evaluated, names, n)), 1)
    for first in range(0, len(evaluated), abreast):
        console.print(Text(f"Greedy evaluation: {about}", style="bold"))
        console.print(table(console, *_evaluation(evaluated[first : first + abreast], names)))


def _fit_abreast(console: Console, evaluated: Sequence[Mapping[str, Any]], names: Sequence[str], count: int) -> bool:
    some = (evaluated[first : first + count] for first in range(0, len(evaluated), count))
    return all(fits(console, *_evaluation(each, names)) for each in some)


def _evaluation(some: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[list[Column], list[list[str]]]:
    titles = ["median" if one["seed"] is None else f"seed {one['seed']}" for one in some]
    rows = [[name.removeprefix("test_").replace("_", " "), *(_number(one[name]) for one in some)] for name in names]
    return [Column("", is_whole=True), *(Column(title, is_number=True) for title in titles)], rows


# Title, field of a row, format of the columns of an evaluation in SMAC.
_SMAC_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("win\nrate", "test_win_rate", ".3f"),
    ("95 %\ninterval", "", ""),
    ("epi-\nsodes", "test_episodes", ","),
    ("return", "test_return_mean", ".2f"),
    ("steps", "test_length_mean", ".1f"),
    ("seconds", "test_seconds_mean", ".1f"),
    ("time\nlimit", "test_timeouts", ","),
    ("allies\ndead", "test_ally_deaths_mean", ".2f"),
    ("enemies\ndead", "test_enemy_deaths_mean", ".2f"),
    ("crashes", "crashes", ","),
    ("dis-\ncarded", "discarded_episodes", ","),
)


@contextlib.contextmanager
def smac_evaluations() -> Iterator[tuple[Callable[[str], None], Callable[[Mapping[str, Any]], None]]]:
    """Yields two functions: one shows the status on a terminal, the other prints a report."""
    console = make_console()
    with console.status("") as line:
        yield lambda text: line.update(escape(text)), lambda report: _print_smac_evaluation(console, report)


def _print_smac_evaluation(console: Console, report: Mapping[str, Any]) -> None:
    columns = [Column("seed"), *(Column(title, is_number=True) for title, _, _ in _SMAC_COLUMNS)]
    seeds = report["seeds"]
    rows: list[list[Text | str]] = [[str(row["seed"]), *_smac_cells(row)] for row in seeds]
    if len(seeds) > 1:
        rows.append([Text(cell, style="bold") for cell in (f"all {len(seeds)}", *_smac_cells(report["over_seeds"]))])
    played = f"{report['system']} on {report['map']} in StarCraft II {report['game_version'] or ''}".rstrip()
    console.print(f"[bold]{escape(played)}[/], difficulty {report['difficulty']}, {escape(_how(report))}")
    trained = f"{report['run']}, {report['checkpoint']} checkpoint, {_training(report)}"
    console.print(Text(trained), soft_wrap=True)
    console.print()
    console.print(table(console, columns, rows))
    over_seeds = "; over all seeds: Student's t" if len(seeds) > 1 else ""
    console.print(f"[dim]interval per seed: Wilson{over_seeds}[/]")
    console.print("[dim]greedy play; return in SMAC's units (20 for a perfect win)[/]")
    console.print(Text(f"{report['file']}\n"), soft_wrap=True)


def _smac_cells(row: Mapping[str, Any]) -> list[str]:
    low, high = row["test_win_rate_low"], row["test_win_rate_high"]
    return [f"{row[name]:{form}}" if name else f"{low:.3f}-{high:.3f}" for _, name, form in _SMAC_COLUMNS]


def _how(report: Mapping[str, Any]) -> str:
    if report["mode"] == "native":
        return f"{report['step_mul']} game loops per step"
    view = "privileged: sees more than SMAC shows" if report["is_privileged"] else "sees what SMAC shows"
    options = f"sight {report['sight']}, attack mask {report['attack_mask']}; {view}"
    return f"{report['step_mul']} game loops per step\ntranslated: {options}"


def _training(report: Mapping[str, Any]) -> str:
    where = "SMAC" if report["mode"] == "native" else f"SMAX ({report['profile']})"
    return f"trained on {report['trained_on']} of {where}"


def _median(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.median(present) if present else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else f"{value:,}"


_SIZES = [Column(title, is_number=True) for title in ("agents", "obs", "state", "actions", "limit", "row bytes")]
_BATTLE = [Column("env.scenario"), Column("allies"), Column("enemies"), *_SIZES]


def _print_table(console: Console, title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    if title:
        console.print(Text(title, style="bold"))
    console.print(table(console, columns, rows))
    console.print()


def _scenarios(console: Console) -> None:
    rows = []
    for name, scenario in SMAX_SCENARIOS.items():
        config = TrainConfig(env=SmaxConfig(scenario=name))
        sizes = smax_sizes(SmaxConfig(scenario=name))
        teams = (scenario.unit_types[: scenario.num_allies], scenario.unit_types[scenario.num_allies :])
        described = [f"{len(team)} random" if scenario.random_unit_types else _team(team) for team in teams]
        rows.append([name, *described, *map(str, sizes), f"{row_bytes(config, sizes):,}"])
    _print_table(console, "env=smax", _BATTLE, rows)
    letters = ", ".join(f"{letter} {UNIT_TYPES[index]}" for letter, index in UNIT_LETTERS.items())
    console.print(
        "Name any other battle <team> (against the same team) or <team>_vs_<team>; a team is a list of counts and units"
        f" ({letters}), as in 2s3z or 3s_vs_4z.\n"
        f"A replay row holds replay.row_length={TrainConfig().replay.row_length} steps;"
        f" replay.capacity_rows={TrainConfig().replay.capacity_rows} rows are kept per seed.\n"
    )
    rows = [
        [name, particles.summary, f"{particles.num_agents}{' or env.num_agents' if particles.resizable else ''}"]
        for name, particles in MPE_SCENARIOS.items()
    ]
    _print_table(console, "env=mpe", [Column("env.scenario"), Column("task"), Column("agents")], rows)
    _jaxmarl_games(console)
    rows = []
    for name, toy in MATRIX_SCENARIOS.items():
        env = MatrixConfig(scenario=name)
        sizes = matrix_sizes(env)
        rows.append([name, toy.summary, *map(str, sizes), f"{row_bytes(TrainConfig(env=env), sizes):,}"])
    _print_table(console, "env=matrix", [Column("env.scenario"), Column("game"), *_SIZES], rows)
    codes, sizes = CodesConfig(), codes_sizes(CodesConfig())
    row = [codes.scenario, CODES_SCENARIOS[codes.scenario], *map(str, sizes)]
    row.append(f"{row_bytes(TrainConfig(env=codes), sizes):,}")
    _print_table(console, "env=codes", [Column("env.scenario"), Column("game"), *_SIZES], [row])
    rows = []
    for name, battle in SMAC_MAPS.items():
        config, sizes = TrainConfig(env=SmacConfig(scenario=name)), smac_sizes(name)
        described = [_named_team(team) for team in (battle.allies, battle.enemies)]
        rows.append([name, *described, *map(str, sizes), f"{row_bytes(config, sizes):,}"])
    _print_table(console, "env=smac, real StarCraft II", _BATTLE, rows)
    console.print(
        "env=pettingzoo: env.scenario is any module of a parallel environment with discrete actions, such as"
        " mpe2.simple_spread_v3, or module:function; see docs/games.md.\n"
        "env=gymnasium: env.scenario is any Gymnasium environment whose spaces have one entry per agent, such as"
        " lbforaging:Foraging-8x8-2p-3f-v3."
    )


def _jaxmarl_games(console: Console) -> None:
    rows = []
    for name in playable_games():
        game = JAXMARL_GAMES.get(name)
        reward = "shared, counted once" if game and game.is_reward_shared else "sum over agents"
        rows.append([name, game.summary if game else "not known to limae_jax", reward])
    columns = [Column("env.scenario"), Column("game"), Column("team reward")]
    _print_table(console, "env=jaxmarl", columns, rows)
    refused: dict[str, list[str]] = {}
    for name in registered_games():
        if reason := why_refused(name):
            refused.setdefault(reason, []).append(name)
    rows = [[", ".join(names), reason] for reason, names in refused.items()]
    _print_table(console, "", [Column("not supported"), Column("reason")], rows)
    if GAME_SUMMARIES:
        own = [list(item) for item in GAME_SUMMARIES.items()]
        _print_table(console, "from plug-ins", [Column("env"), Column("game")], own)


def _named_team(units: Sequence[str]) -> str:
    counts = {unit.replace("_", " "): units.count(unit) for unit in dict.fromkeys(units)}
    return ", ".join(f"{count} {_plural(unit) if count > 1 else unit}" for unit, count in counts.items())


def _plural(unit: str) -> str:
    return f"{unit.removesuffix('us')}i" if unit.endswith("us") else f"{unit}s"


def _team(unit_types: Sequence[int]) -> str:
    return _named_team([UNIT_TYPES[unit] for unit in unit_types])


def _systems(console: Console) -> None:
    _print_table(console, "", [Column("system"), Column("description")], [list(item) for item in SYSTEMS.items()])


def _masking(console: Console) -> None:
    columns = [Column(title) for title in ("rule", "hidden agents", "settings", "granularity", "use")]
    rows = []
    for name, rule in RULES.items():
        # Every rule reads the probability, in pre-training.
        shared = ("name", "granularity", *(("probability",) if name != "random" else ()))
        read = [item for item in fields(MASKING_CONFIGS[name]) if item.name not in shared]
        settings = "\n".join(f"masking.{item.name}={item.default}" for item in read)
        use = "control" if rule.is_control else "training"
        rows.append([name, rule.formula, settings, ", ".join(rule.granularities), use])
    _print_table(console, "", columns, rows)
    console.print(
        "delta_i is agent i's mean absolute TD error, theta the mean of delta over the agents."
        " masking.granularity: one mask per batch, row or step (a window of mae.window steps); a rule's default"
        " comes first."
    )


def _experiments(console: Console) -> None:
    columns = [Column("experiment"), Column("description"), Column("system", is_whole=True), Column("scenario")]
    columns += [Column(title, is_number=True) for title in ("seeds", "env steps")]
    _print_table(console, "", columns, [_experiment(name) for name in options("experiment")])


def _experiment(name: str) -> list[str]:
    """Returns the table row of an experiment, read directly from the files: composing all would take seconds."""
    text = _configs("experiment", name)
    data = yaml.safe_load(text) or {}
    chosen = _choices(yaml.safe_load(_configs("", "train"))) | _choices(data)
    system, env = (yaml.safe_load(_configs(group, chosen[group])) for group in ("system", "env"))
    comments = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    summary = next((comment for comment in comments if not comment.startswith("@")), "")
    axes = data.get("sweep", {}).get("axes", ())
    what = [system["name"], (env | data.get("env", {}))["scenario"]]
    if "sweep" in data:
        what = ["sweep", f"{math.prod(map(len, axes))} cells"]
    # The dataclass converts numbers as in a run.
    run = RunConfig(**data.get("run", {}))
    return [name, summary, *what, str(run.num_seeds), f"{run.total_env_steps:,}"]


def _configs(group: str, name: str) -> str:
    return (config_dir() / group / f"{name}.yaml").read_text(encoding="utf-8")


def _choices(data: Mapping[str, Any]) -> dict[str, str]:
    """Returns group -> choice of a defaults list."""
    entries = [entry for entry in data.get("defaults", ()) if isinstance(entry, Mapping)]
    return {key.removeprefix("override /"): name for entry in entries for key, name in entry.items()}


LISTINGS: dict[str, Callable[[Console], None]] = {
    "scenarios": _scenarios,
    "systems": _systems,
    "masking": _masking,
    "experiments": _experiments,
}
