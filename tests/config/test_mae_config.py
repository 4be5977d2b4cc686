"""Settings of the masked auto-encoder and of the masking rules: which fit together, and which nothing would read."""

import dataclasses

import pytest

from limae_jax.catalogue.masking_rules import RULES
from limae_jax.catalogue.systems import CONTEXT_SYSTEMS, SYSTEMS
from limae_jax.config import MaeConfig, MaskingConfig, SystemConfig, TrainConfig
from limae_jax.config.compose import load_config
from limae_jax.config.text import from_yaml, to_yaml
from limae_jax.errors import InputError

pytestmark = pytest.mark.slow

# A value of each setting that is not its default.
OTHER = {
    "mae": {
        "window": 4,
        "width": 16,
        "num_heads": 2,
        "encoder_layers": 3,
        "decoder_layers": 2,
        "learning_rate": 1e-4,
        "max_grad_norm": 2.0,
        "loss_weight": 0.5,
        "pretrain_env_steps": 0,
        "pretrain_updates_per_iteration": 4,
        "td_gradient_to_mae": True,
        "target_copy": True,
        "context": "window",
    },
    "masking": {
        "name": "mean_td",
        "granularity": "row",
        "probability": 0.3,
        "tolerance": 0.0,
        "top_k": 2,
        "alpha": 0.9,
        "history_batches": 4,
        "time_constant_steps": 5.0,
    },
}
SECTIONS = {"mae": MaeConfig, "masking": MaskingConfig}


def message(make, **values) -> str:
    with pytest.raises(InputError) as caught:
        make(**values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def settings_of(system: str, **sections) -> TrainConfig:
    made = {section: SECTIONS[section](**values) for section, values in sections.items()}
    return TrainConfig(system=SystemConfig(name=system), **made)


@pytest.mark.parametrize(
    ("make", "name", "value", "said"),
    [
        (MaeConfig, "window", 0, "mae.window=0: must be greater than 0"),
        (MaeConfig, "window", 2.5, "mae.window=2.5: must be a whole number"),
        (MaeConfig, "num_heads", 0, "mae.num_heads=0: must be greater than 0"),
        (MaeConfig, "width", 30, "mae.width=30: must be a multiple of mae.num_heads=4"),
        (MaeConfig, "encoder_layers", 0, "mae.encoder_layers=0: must be greater than 0"),
        (MaeConfig, "decoder_layers", -1, "mae.decoder_layers=-1: must be greater than 0"),
        (MaeConfig, "learning_rate", 0, "mae.learning_rate=0.0: must be greater than 0"),
        (MaeConfig, "max_grad_norm", 0, "mae.max_grad_norm=0.0: must be greater than 0"),
        (MaeConfig, "loss_weight", 0, "mae.loss_weight=0.0: must be greater than 0"),
        (MaeConfig, "pretrain_env_steps", -1, "mae.pretrain_env_steps=-1: must not be negative"),
        (MaeConfig, "pretrain_updates_per_iteration", 0, "mae.pretrain_updates_per_iteration=0: must be greater"),
        (MaeConfig, "td_gradient_to_mae", 1, "mae.td_gradient_to_mae=1: must be true or false"),
        (MaeConfig, "context", "all", "mae.context=all: choose one of last_step, window, off"),
        (MaskingConfig, "name", "mean_dt", "masking.name=mean_dt: unknown; choose one of"),
        (MaskingConfig, "top_k", 0, "masking.top_k=0: must be greater than 0"),
        (MaskingConfig, "history_batches", 1, "masking.history_batches=1: must be at least 2"),
        (MaskingConfig, "time_constant_steps", 0, "masking.time_constant_steps=0.0: must be greater than 0"),
        (MaskingConfig, "tolerance", -0.1, "masking.tolerance=-0.1: must not be negative"),
        (MaskingConfig, "alpha", 0, "masking.alpha=0.0: must be greater than 0 and at most 1"),
        (MaskingConfig, "alpha", 1.1, "masking.alpha=1.1: must be greater than 0 and at most 1"),
        (MaskingConfig, "probability", 0, "masking.probability=0.0: must be between 0 and 1"),
        (MaskingConfig, "probability", 1, "masking.probability=1.0: must be between 0 and 1"),
    ],
)
def test_each_impossible_value_is_named(make, name, value, said):
    assert message(make, **{name: value}).startswith(said)


def test_borders_of_what_is_allowed():
    MaskingConfig(alpha=1.0, tolerance=0.0, top_k=1, history_batches=2)
    MaeConfig(window=1, width=4, pretrain_env_steps=0)


def test_every_setting_has_another_value_here():
    for section, make in SECTIONS.items():
        fields = {item.name: item.default for item in dataclasses.fields(make)}
        assert fields.keys() == OTHER[section].keys()
        assert all(OTHER[section][name] != default for name, default in fields.items())


@pytest.mark.parametrize("system", ["iql", "vdn", "qmix", "qplex"])
@pytest.mark.parametrize(("section", "name"), [(section, name) for section in OTHER for name in OTHER[section]])
def test_systems_without_context_refuse_every_setting_of_it(system, section, name):
    said = message(settings_of, system=system, **{section: {name: OTHER[section][name]}})
    assert said.startswith(f"{section}.{name}=") and f"system={system} does not read it" in said


@pytest.mark.parametrize("name", OTHER["masking"])
def test_the_oracle_masks_nothing_and_refuses_every_rule(name):
    said = message(settings_of, system="oracle", masking={name: OTHER["masking"][name]})
    assert said.startswith(f"masking.{name}=") and "system=oracle does not read it" in said


READ_BY_THE_ORACLE = {"window", "width", "num_heads", "pretrain_env_steps", "context"}


def test_the_oracle_has_a_window_and_a_context():
    values = {name: value for name, value in OTHER["mae"].items() if name in READ_BY_THE_ORACLE}
    config = settings_of("oracle", mae=values)
    assert config.mae == MaeConfig(**values) and config.masking.name is None
    assert from_yaml(to_yaml(config)) == config


@pytest.mark.parametrize("name", sorted(OTHER["mae"].keys() - READ_BY_THE_ORACLE))
def test_the_oracle_has_no_auto_encoder_and_refuses_its_settings(name):
    said = message(settings_of, system="oracle", mae={name: OTHER["mae"][name]})
    assert said.startswith(f"mae.{name}=") and "system=oracle does not read it" in said
    assert f"{name}:" not in to_yaml(settings_of("oracle")).split("mae:")[1].split("replay:")[0]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", sorted(OTHER["masking"].keys() - {"name", "granularity"}))
def test_a_rule_refuses_the_settings_of_others(rule, name):
    """A run whose setting does nothing would be reported as another method."""
    values = {"name": rule, name: OTHER["masking"][name]}
    if name in RULES[rule].parameters or name == "probability":
        assert from_yaml(to_yaml(settings_of("li_ma2e", masking=values))).masking == MaskingConfig(**values)
    else:
        said = message(settings_of, system="li_ma2e", masking=values)
        assert said.startswith(f"masking.{name}=") and f"masking={rule} does not read it; choose masking=" in said


def test_who_reads_it_is_said():
    said = message(settings_of, system="li_ma2e", masking={"alpha": 0.9})
    assert said == "masking.alpha=0.9: masking=mean_td does not read it; choose masking=ema"


@pytest.mark.parametrize(("system", "rule"), [("ma2e", "random"), ("li_ma2e", "mean_td")])
def test_a_system_comes_with_its_rule_and_takes_another(system, rule):
    assert settings_of(system).masking == MaskingConfig(name=rule)
    assert settings_of(system, masking={"probability": 0.3}).masking == MaskingConfig(name=rule, probability=0.3)
    for other in RULES:
        assert settings_of(system, masking={"name": other}).masking.name == other
    assert from_yaml(to_yaml(settings_of(system))) == settings_of(system)


def test_systems_without_masks_have_no_rule():
    without = [name for name in SYSTEMS if not CONTEXT_SYSTEMS.get(name)]
    assert without == ["iql", "vdn", "qmix", "qplex", "oracle"]
    for name in without:
        config = settings_of(name)
        assert config.masking == MaskingConfig()
        with pytest.raises(ValueError, match="no rule has been chosen"):
            _ = config.masking.unit


def test_a_granularity_that_the_rule_lacks_is_refused():
    said = message(settings_of, system="li_ma2e", masking={"name": "ema", "granularity": "row"})
    assert said == "masking.granularity=row: choose one of batch"
    # Also where the rule is the system's own.
    said = message(settings_of, system="li_ma2e", masking={"granularity": "slot"})
    assert said == "masking.granularity=slot: choose one of batch, row, step"
    assert settings_of("li_ma2e").masking.unit == "batch"
    assert settings_of("ma2e").masking.unit == "row"
    assert settings_of("li_ma2e", masking={"granularity": "step"}).masking.unit == "step"


@pytest.mark.parametrize("name", SYSTEMS)
def test_only_systems_with_context_choose_their_mixer(name):
    if name in CONTEXT_SYSTEMS:
        assert SystemConfig(name=name).mixer is None
        assert all(SystemConfig(name=name, mixer=mixer).mixer == mixer for mixer in ("qmix", "qplex", "vdn", "none"))
        said = message(SystemConfig, name=name, mixer="qtran")
        assert said == "system.mixer=qtran: choose one of none, vdn, qmix, qplex"
    else:
        for mixer in ("qmix", "vdn", "none"):
            said = message(SystemConfig, name=name, mixer=mixer)
            assert said.startswith(f"system.mixer={mixer}: is for ma2e, li_ma2e and oracle")


MIXES_OTHERWISE = [("iql", None), ("vdn", None), ("li_ma2e", "vdn"), ("oracle", "none")]


def test_qplex_reads_the_settings_of_its_own_mixer():
    for name, mixer in [("qplex", None), ("li_ma2e", "qplex")]:
        config = TrainConfig(system=SystemConfig(name=name, mixer=mixer, mixer_num_heads=3, mixer_hypernet_dim=8))
        assert "mixer_num_heads: 3" in to_yaml(config) and "mixer_embed_dim" not in to_yaml(config)
        assert from_yaml(to_yaml(config)) == config and config.mixer == "qplex"
        said = message(lambda: TrainConfig(system=SystemConfig(name=name, mixer=mixer, mixer_embed_dim=8)))  # noqa: B023
        assert said.startswith("system.mixer_embed_dim=8: ")


@pytest.mark.parametrize(("name", "mixer"), MIXES_OTHERWISE)
@pytest.mark.parametrize(
    ("setting", "default", "readers"),
    [("mixer_embed_dim", 32, "qmix"), ("mixer_hypernet_dim", 64, "qmix or qplex"), ("mixer_num_heads", 4, "qplex")],
)
def test_where_a_mixer_does_not_mix_its_sizes_are_refused(name, mixer, setting, default, readers):
    config = TrainConfig(system=SystemConfig(name=name, mixer=mixer))
    said = message(lambda: TrainConfig(system=SystemConfig(name=name, mixer=mixer, **{setting: 8})))
    reader = (
        f"system.mixer={mixer} does not read it; choose system.mixer={readers}" if mixer else f"choose system={readers}"
    )
    assert said.startswith(f"system.{setting}=8: ") and said.endswith(reader)
    # They are not kept either; runs that were kept with them stay readable.
    text = to_yaml(config)
    assert setting not in text and from_yaml(text) == config
    assert from_yaml(text.replace("  hidden_size:", f"  {setting}: {default}\n  hidden_size:")) == config


@pytest.mark.parametrize(("name", "mixer"), [("qmix", None), ("ma2e", None), ("oracle", "qmix")])
def test_where_qmix_mixes_the_sizes_of_its_mixer_are_read(name, mixer):
    config = TrainConfig(system=SystemConfig(name=name, mixer=mixer, mixer_embed_dim=8, mixer_hypernet_dim=9))
    assert "mixer_embed_dim: 8" in to_yaml(config) and from_yaml(to_yaml(config)) == config


def test_there_is_context_where_the_system_has_it_and_it_is_not_off():
    for name in SYSTEMS:
        assert settings_of(name).has_context == (name in CONTEXT_SYSTEMS)
    assert not any(settings_of(name, mae={"context": "off"}).has_context for name in CONTEXT_SYSTEMS)
    assert settings_of("oracle", mae={"context": "window"}).has_context


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_chosen_on_the_command_line(rule):
    chosen = load_config(["system=li_ma2e", f"masking={rule}"])
    assert chosen == settings_of("li_ma2e", masking={"name": rule})
    assert load_config([f"masking={rule}", "system=li_ma2e"]) == chosen


def test_settings_of_the_chosen_rule_win_over_its_file():
    config = load_config(["system=ma2e", "masking=ema", "masking.alpha=0.9", "mae.window=4"])
    assert config.masking == MaskingConfig(name="ema", alpha=0.9)
    assert config.mae == MaeConfig(window=4)
    assert load_config(["system=ma2e"]).masking.name == "random"


def test_a_rule_for_a_system_without_masks_is_refused_on_the_command_line():
    for overrides in (["masking=ema"], ["system=oracle", "masking=ema"], ["mae.window=4"]):
        assert "does not read it" in message(load_config, overrides=overrides)
