"""Which team can play what, told before anything is started."""

import pytest

from limae_jax.config import MpeConfig, SmacConfig, SmaxConfig
from limae_jax.config.compose import load_config, profile_of
from limae_jax.config.fitting import check_fit
from limae_jax.config.text import to_yaml
from limae_jax.errors import InputError
from limae_jax.runs.evaluation import plan_evaluation


@pytest.mark.parametrize(
    ("trained", "other", "said"),
    [
        (SmaxConfig(), SmacConfig(scenario="MMM"), r"env\.scenario=MMM: has units that SMAX lacks \(medivac\)"),
        (
            SmaxConfig(),
            SmacConfig(scenario="so_many_baneling"),
            r"lacks \(baneling\); only teams trained",
        ),
        (SmaxConfig(), SmacConfig(scenario="8m"), r"env\.scenario=8m: has 8 allies and 8 enemies, not 3 and 3 as in"),
        (SmaxConfig(scenario="3s_vs_4z"), SmacConfig(scenario="3s_vs_5z"), "has 3 allies and 5 enemies, not 3 and 4"),
        (SmaxConfig(observation_type="conic"), SmacConfig(is_strict=True), r"env\.is_strict=true: .*=unit_list"),
        (SmacConfig(), SmacConfig(scenario="8m"), r"env\.scenario=8m: has num_agents 8, not 3, obs_size 80, not 30"),
        (SmacConfig(), SmacConfig(sight="smax"), r"env\.sight=smax: is only for teams trained on smax"),
        (SmacConfig(), SmacConfig(attack_mask="weapon"), r"env\.attack_mask=weapon: is only for teams trained on smax"),
        (SmacConfig(), SmacConfig(is_strict=True), r"env\.is_strict=true: is only for teams trained on smax"),
        (SmacConfig(), SmaxConfig(), r"env=smax: the team was trained on smac"),
        (SmacConfig(), MpeConfig(), r"env=mpe: the team was trained on smac"),
        (MpeConfig(), SmacConfig(), r"env=smac: can be played only by teams trained on smax or smac"),
        (SmaxConfig(), SmaxConfig(scenario="8m"), r"env\.scenario=8m: has num_agents 8, not 3"),
    ],
)
def test_a_team_that_does_not_fit_is_refused_by_name(trained, other, said):
    with pytest.raises(InputError, match=said):
        check_fit(trained, other)


@pytest.mark.parametrize(
    ("trained", "other"),
    [
        (SmaxConfig(), SmacConfig(sight="smax", attack_mask="weapon", is_strict=True)),
        (SmaxConfig(observation_type="conic"), SmacConfig()),
        (SmaxConfig(scenario="6z_vs_24zg"), SmacConfig(scenario="corridor")),
        # Other units, but the same sizes.
        (SmaxConfig(scenario="smacv2_5_units"), SmacConfig(scenario="2s3z")),
        (SmacConfig(), SmacConfig(difficulty="A", step_mul=11)),
        (SmaxConfig(), SmaxConfig(max_steps=60)),
        (MpeConfig(), MpeConfig(max_steps=30)),
    ],
)
def test_a_team_that_fits_is_let_through(trained, other):
    check_fit(trained, other)


@pytest.fixture
def stored(tmp_path):
    """Writes the settings of a run and gives its directory."""

    def store(*overrides):
        folder = tmp_path / "runs" / "stored"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(to_yaml(load_config([*overrides, f"run.dir={folder}"])))
        return folder

    return store


def test_a_run_plays_its_own_map_unless_it_is_told_otherwise(stored):
    run_dir = stored("env.scenario=3s_vs_5z")
    for overrides, scenario, limit in (
        (["env=smac"], "3s_vs_5z", None),
        (["env=smac", "env.workers=2"], "3s_vs_5z", None),
        (["env=smax_smac_like"], "3s_vs_5z", 250),
        (["env.sight_scale=0.5"], "3s_vs_5z", 100),
        (["env=smax", "env.scenario=3m_vs_5m"], "3m_vs_5m", 100),
    ):
        trained, config = plan_evaluation(run_dir, overrides)
        assert trained.env == SmaxConfig(scenario="3s_vs_5z")
        assert (config.env.scenario, getattr(config.env, "max_steps", None)) == (scenario, limit)
    with pytest.raises(InputError, match=r"env\.scenario=2s3z: has 5 allies"):
        plan_evaluation(run_dir, ["env=smac", "env.scenario=2s3z"])


def test_a_run_whose_map_smac_does_not_have_needs_another(stored):
    run_dir = stored("env.scenario=6z_vs_24zg")
    with pytest.raises(InputError, match=r"env\.scenario=6z_vs_24zg: unknown; choose one of .*corridor"):
        plan_evaluation(run_dir, ["env=smac"])
    assert plan_evaluation(run_dir, ["env=smac", "env.scenario=corridor"])[1].env.scenario == "corridor"


def test_a_profile_is_known_by_its_settings():
    like_smac = load_config(["env=smax_smac_like", "env.scenario=8m", "env.num_envs=4"]).env
    assert profile_of(like_smac) == "smax_smac_like"
    assert profile_of(SmaxConfig(scenario="2s3z", max_steps=60)) == "smax"
    assert profile_of(SmaxConfig(sight_scale=0.5)) == "own settings"
