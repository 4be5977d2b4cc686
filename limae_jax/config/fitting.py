"""Checks whether a team trained in one environment can play another, from the settings alone.

Nothing here imports jax, so mistakes are reported immediately.
"""

from __future__ import annotations

from limae_jax.catalogue.matrix_games import matrix_sizes
from limae_jax.catalogue.scenarios import UNIT_TYPES, Sizes, parse_scenario, smax_sizes
from limae_jax.catalogue.smac_maps import check_map, smac_sizes
from limae_jax.checks import check
from limae_jax.config.codes import CodesConfig, codes_sizes
from limae_jax.config.env import MatrixConfig, SmacConfig, SmaxConfig
from limae_jax.config.env_base import EnvConfig

# Settings of SmacConfig that apply only to teams trained on SMAX, and their defaults.
_OF_TRANSLATION = {"sight": "smac", "attack_mask": "smac", "is_strict": False}


def check_fit(trained: EnvConfig, other: EnvConfig) -> None:
    """Checks that a team can play another environment, as far as possible without building the game.

    Raises:
        InputError: the environments do not fit, or a setting of the other one does not apply to this team.
    """
    if isinstance(other, SmacConfig):
        if isinstance(trained, SmaxConfig):
            check_translation(trained, other)
        elif isinstance(trained, SmacConfig):
            _check_native(trained, other)
        else:
            fix = f"can be played only by teams trained on smax or smac; this one was trained on {trained.name}"
            check(False, "env", other.name, fix)
    elif trained.name != other.name and {"pettingzoo", "gymnasium"} & {trained.name, other.name}:
        fix = f"the team was trained on {trained.name}, whose observations and actions differ"
        check(False, "env", other.name, f"{fix}; choose env={trained.name}")
    elif isinstance(trained, SmacConfig):
        fix = "the team was trained on smac, whose observations and actions differ; choose env=smac"
        check(False, "env", other.name, fix)
    elif isinstance(trained, SmaxConfig) and isinstance(other, SmaxConfig):
        _check_sizes(trained, smax_sizes(trained), other, smax_sizes(other))
    elif isinstance(trained, MatrixConfig) and isinstance(other, MatrixConfig):
        _check_sizes(trained, matrix_sizes(trained), other, matrix_sizes(other))
    elif isinstance(trained, CodesConfig) and isinstance(other, CodesConfig):
        _check_sizes(trained, codes_sizes(trained), other, codes_sizes(other))


def check_translation(trained: SmaxConfig, game: SmacConfig) -> None:
    """Checks that a team trained on SMAX can play a map of SMAC.

    Raises:
        InputError: the map has units that SMAX lacks, the team sizes differ, or `game.is_strict` cannot hide anything
            in the team's observations.
    """
    battle, scenario = check_map(game.scenario), parse_scenario(trained.scenario)
    lacking = sorted({unit for unit in battle.allies + battle.enemies if unit not in UNIT_TYPES})
    fix = f"has units that SMAX lacks ({', '.join(lacking)}); only teams trained with env=smac can play it"
    check(not lacking, "env.scenario", game.scenario, fix)
    sizes, trained_sizes = (battle.num_agents, battle.num_enemies), (scenario.num_allies, scenario.num_enemies)
    fix = "has {} allies and {} enemies, not {} and {}".format(*sizes, *trained_sizes)
    check(sizes == trained_sizes, "env.scenario", game.scenario, f"{fix} as in {trained.scenario}, the team's scenario")
    can_hide = not game.is_strict or trained.observation_type == "unit_list"
    check(can_hide, "env.is_strict", game.is_strict, "needs a team trained with env.observation_type=unit_list")


def _check_native(trained: SmacConfig, other: SmacConfig) -> None:
    for name, default in _OF_TRANSLATION.items():
        value = getattr(other, name)
        check(value == default, f"env.{name}", value, "is only for teams trained on smax; leave it out")
    _check_sizes(trained, smac_sizes(trained.scenario), other, smac_sizes(other.scenario))


def _check_sizes(trained: EnvConfig, sizes: Sizes, other: EnvConfig, other_sizes: Sizes) -> None:
    pairs = zip(Sizes._fields, sizes, other_sizes, strict=True)
    unequal = [f"{name} {new}, not {old}" for name, old, new in pairs if old != new and name != "episode_limit"]
    fix = f"the team was trained on {trained.scenario}; choose a scenario with the same team sizes"
    check(not unequal, "env.scenario", other.scenario, f"has {', '.join(unequal)}; {fix}")
