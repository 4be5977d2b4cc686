import subprocess
import sys

import numpy as np
import pytest

from limae_jax.catalogue.scenarios import (
    MAX_TEAM_SIZE,
    MPE_SCENARIOS,
    SMAX_SCENARIOS,
    UNIT_TYPES,
    check_mpe_scenario,
    parse_scenario,
    smax_sizes,
)
from limae_jax.checks import show
from limae_jax.config import SmaxConfig
from limae_jax.environments.jaxmarl import import_jaxmarl
from limae_jax.errors import InputError


def test_smax_table_equals_that_of_jaxmarl():
    theirs = import_jaxmarl("jaxmarl.environments.smax.smax_env").MAP_NAME_TO_SCENARIO
    assert list(SMAX_SCENARIOS) == list(theirs)
    for name, ours in SMAX_SCENARIOS.items():
        expected = theirs[name]
        assert ours.unit_types == tuple(np.asarray(expected.unit_types).tolist()), name
        assert (ours.num_allies, ours.num_enemies) == (expected.num_allies, expected.num_enemies), name
        assert ours.random_positions == expected.smacv2_position_generation, name
        assert ours.random_unit_types == expected.smacv2_unit_type_generation, name


def test_unit_types_and_mpe_tasks_are_those_of_jaxmarl():
    assert list(UNIT_TYPES) == import_jaxmarl("jaxmarl.environments.smax").SMAX().unit_type_names
    jaxmarl = import_jaxmarl()
    for scenario in MPE_SCENARIOS.values():
        assert jaxmarl.make(scenario.jaxmarl_id).num_agents == scenario.num_agents


def test_registered_names_read_the_same_letter_by_letter():
    for name in (name for name in SMAX_SCENARIOS if not name.startswith("smacv2")):
        # "03m" is "3m", but not in the table.
        assert parse_scenario(f"0{name}") == SMAX_SCENARIOS[name]


@pytest.mark.parametrize(
    ("name", "allies", "enemies"),
    [
        ("3s_vs_4z", (2,) * 3, (3,) * 4),
        ("5m_vs_3m", (0,) * 5, (0,) * 3),
        ("2zg_vs_3m", (4,) * 2, (0,) * 3),
        ("1z1zg_vs_2h", (3, 4), (5, 5)),
        ("1m1M2s", (0, 1, 2, 2), (0, 1, 2, 2)),
        ("10z_vs_1M2zg", (3,) * 10, (1, 4, 4)),
    ],
)
def test_names_are_read(name, allies, enemies):
    scenario = parse_scenario(name)
    assert scenario.unit_types == allies + enemies
    assert (scenario.num_allies, scenario.num_enemies) == (len(allies), len(enemies))
    assert not scenario.random_positions and not scenario.random_unit_types


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("3q", "no unit 'q'"),
        ("3Z_vs_2m", "no unit 'Z'"),
        ("3sz", "no unit 'sz'"),
        ("2c_vs_64zg", "no unit 'c'"),
        ("", "the allied team is empty"),
        ("_vs_3m", "the allied team is empty"),
        ("3m_vs_", "the enemy team is empty"),
        ("0m", "'0m' has no units"),
        ("3m_vs_2m0z", "'0z' has no units"),
        ("MMM2", "'MMM2' is not a list"),
        ("m3", "'m3' is not a list"),
        ("3m_4z", "'3m_4z' is not a list"),
        ("3m\n", "'3m' is not a list"),
        ("3m_vs_3m_vs_3m", "3 teams"),
        (f"{MAX_TEAM_SIZE + 1}m", "more than 100 units in the allied team"),
        ("3m_vs_" + "9" * 5000 + "m", "more than 100 units in the enemy team"),
    ],
)
def test_bad_names_are_one_clear_line(name, problem):
    with pytest.raises(InputError) as error:
        parse_scenario(name)
    message = str(error.value)
    assert message.startswith(f"env.scenario={show(name)}: {problem}")
    assert "m marine, M marauder, s stalker, z zealot, zg zergling, h hydralisk" in message
    assert "\n" not in message


def test_a_near_miss_is_guessed():
    with pytest.raises(InputError, match="Did you mean '3s_vs_5z'"):
        parse_scenario("3s_v_5z")
    with pytest.raises(InputError, match="Did you mean 'smacv2_5_units'"):
        parse_scenario("smacv2_5_unit")
    with pytest.raises(InputError, match=r"env\.scenario=simple_sprad.*Did you mean 'simple_spread'"):
        check_mpe_scenario("simple_sprad")


def test_only_simple_spread_takes_a_team_size():
    assert check_mpe_scenario("simple_spread", 5).resizable
    assert check_mpe_scenario("simple_reference", 2).num_agents == 2
    with pytest.raises(InputError, match=r"env\.num_agents=3: simple_reference always has 2"):
        check_mpe_scenario("simple_reference", 3)


def test_sizes_of_3m_by_hand():
    # Five other units of 13 features and 10 of one's own; 6 units of 12 in the state; 5 moves and 3 targets.
    assert smax_sizes(SmaxConfig(scenario="3m", max_steps=70)) == (3, 75, 72, 8, 70)


def test_names_are_checked_without_jax():
    code = (
        "import sys, limae_jax.environments as e, limae_jax.catalogue.scenarios as s, limae_jax.config as c;"
        "s.smax_sizes(c.SmaxConfig(scenario='3s_vs_4z')); e.ENVIRONMENTS;"
        "sys.exit(any(name in sys.modules for name in ('jax', 'jaxmarl', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
