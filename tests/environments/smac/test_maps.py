"""Sizes of SMAC's maps."""

import pytest

from limae_jax.catalogue.smac_maps import SMAC_MAPS, check_map, smac_sizes
from limae_jax.config import SmacConfig
from limae_jax.environments import make_env
from limae_jax.errors import InputError

# Agents, observation, state, actions, limit; the first twelve as StarCraft2Env reported them, the others from the
# layout: 4 + enemies * (4 + health + shield + types) + other allies * the same + own health, shield and types.
SIZES = {
    "3m": (3, 30, 48, 9, 60),
    "8m": (8, 80, 168, 14, 120),
    "25m": (25, 250, 950, 31, 150),
    "5m_vs_6m": (5, 55, 98, 12, 70),
    "10m_vs_11m": (10, 105, 243, 17, 150),
    "27m_vs_30m": (27, 285, 1170, 36, 180),
    "2s3z": (5, 80, 120, 11, 120),
    "3s5z": (8, 128, 216, 14, 150),
    "3s5z_vs_3s6z": (8, 136, 230, 15, 170),
    "3s_vs_3z": (3, 36, 54, 9, 150),
    "3s_vs_4z": (3, 42, 61, 10, 200),
    "3s_vs_5z": (3, 48, 68, 11, 250),
    "6h_vs_8z": (6, 78, 140, 14, 150),
    "8m_vs_9m": (8, 4 + 9 * 5 + 7 * 5 + 1, 8 * 4 + 9 * 3 + 8 * 15, 15, 120),
    "2m_vs_1z": (2, 4 + 6 + 5 + 1, 2 * 4 + 4 + 2 * 7, 7, 150),
    "MMM": (10, 4 + 10 * 8 + 9 * 8 + 4, 10 * 7 + 10 * 6 + 10 * 16, 16, 150),
    "MMM2": (10, 4 + 12 * 8 + 9 * 8 + 4, 10 * 7 + 12 * 6 + 10 * 18, 18, 180),
    "1c3s5z": (9, 4 + 9 * 9 + 8 * 9 + 5, 9 * 8 + 9 * 7 + 9 * 15, 15, 180),
    "corridor": (6, 4 + 24 * 5 + 5 * 6 + 2, 6 * 5 + 24 * 3 + 6 * 30, 30, 400),
    "2s_vs_1sc": (2, 4 + 5 + 6 + 2, 2 * 5 + 3 + 2 * 7, 7, 300),
    "so_many_baneling": (7, 4 + 32 * 5 + 6 * 6 + 2, 7 * 5 + 32 * 3 + 7 * 38, 38, 100),
    "bane_vs_bane": (24, 4 + 24 * 7 + 23 * 7 + 3, 24 * 6 + 24 * 5 + 24 * 30, 30, 200),
    "2c_vs_64zg": (2, 4 + 64 * 5 + 6 + 2, 2 * 5 + 64 * 3 + 2 * 70, 70, 400),
}


@pytest.mark.parametrize("name", SMAC_MAPS)
def test_sizes(name):
    assert tuple(smac_sizes(name)) == SIZES[name]


def test_a_map_that_smac_does_not_have():
    with pytest.raises(InputError, match=r"env.scenario=3q: unknown; choose one of 10m_vs_11m, .*, MMM2"):
        check_map("3q")


def test_the_training_loop_knows_the_sizes_without_the_game():
    env = make_env(SmacConfig(scenario="3s_vs_5z"))
    _, timestep = env.reset(None)
    assert env.spec.episode_limit == 250
    assert (timestep.obs.shape, timestep.state.shape, timestep.avail.shape) == ((3, 48), (68,), (3, 11))
    assert set(env.outcome(())) == set(env.spec.outcome_names) == {"win", "ally_deaths", "enemy_deaths"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"scenario": "2s_vs_3q"}, "env.scenario=2s_vs_3q: unknown"),
        ({"difficulty": "B"}, "env.difficulty=B: choose one of 1, 2"),
        ({"workers": 0}, "env.workers=0: must be greater than 0"),
        ({"workers": 1001}, "env.workers=1001: must not exceed 1000"),
        ({"timeout_s": 0.0}, "env.timeout_s=0.0: must be greater than 0"),
        ({"sight": "far"}, "env.sight=far: choose one of smac, smax"),
    ],
)
def test_settings_are_checked(setting, message):
    with pytest.raises(InputError, match=message):
        SmacConfig(**setting)
