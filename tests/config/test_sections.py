"""Settings go by the system, its mixer and its masking rule: which fit together, and which nothing would read."""

import dataclasses

import pytest

from limae_jax.catalogue.masking_rules import RULES
from limae_jax.catalogue.systems import SYSTEMS
from limae_jax.config import (
    ENV_CONFIGS,
    MASKING_CONFIGS,
    MIXER_CONFIGS,
    REPLAY_CONFIGS,
    SYSTEM_CONFIGS,
    LiMa2eConfig,
    MaeConfig,
    MaskingConfig,
    MixerConfig,
    OracleConfig,
    PrioritisedReplayConfig,
    QmixConfig,
    QmixMixerConfig,
    QplexMixerConfig,
    TrainConfig,
    VdnConfig,
    WindowConfig,
)
from limae_jax.config.compose import load_config
from limae_jax.config.masking import EmaConfig, RefdsConfig, ThresholdConfig, VdsConfig
from limae_jax.config.migration import migrated
from limae_jax.config.sections import ChosenNames, dotted_names, every_class
from limae_jax.config.text import from_dict, from_yaml, to_yaml
from limae_jax.config.traced import traced_names
from limae_jax.errors import InputError

WITH_MASKS, WITH_CONTEXT = ("ma2e", "li_ma2e"), ("ma2e", "li_ma2e", "oracle")
READ_BY_THE_ORACLE = {"window", "width", "num_heads", "pretrain_time_steps", "context"}


def message(make, **values) -> str:
    with pytest.raises(InputError) as caught:
        make(**values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def settings_of(system: str, **sections) -> TrainConfig:
    return from_dict({"system": {"name": system}, **sections})


def refused(system: str, **sections) -> str:
    return message(lambda: settings_of(system, **sections))


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
        (MaeConfig, "pretrain_time_steps", -1, "mae.pretrain_time_steps=-1: must not be negative"),
        (MaeConfig, "pretrain_updates_per_iteration", 0, "mae.pretrain_updates_per_iteration=0: must be greater"),
        (MaeConfig, "td_gradient_to_mae", 1, "mae.td_gradient_to_mae=1: must be true or false"),
        (MaeConfig, "context", "all", "mae.context=all: choose one of last_step, window, off"),
        (QmixMixerConfig, "embed_dim", 0, "mixer.embed_dim=0: must be greater than 0"),
        (QplexMixerConfig, "num_layers", 65, "mixer.num_layers=65: must not exceed 64"),
        (MaskingConfig, "name", "mean_dt", "masking.name=mean_dt: unknown; choose one of"),
        (ThresholdConfig, "top_k", 0, "masking.top_k=0: must be greater than 0"),
        (VdsConfig, "history_batches", 1, "masking.history_batches=1: must be at least 2"),
        (RefdsConfig, "time_constant_steps", 0, "masking.time_constant_steps=0.0: must be greater than 0"),
        (ThresholdConfig, "tolerance", -0.1, "masking.tolerance=-0.1: must not be negative"),
        (EmaConfig, "alpha", 0, "masking.alpha=0.0: must be greater than 0 and at most 1"),
        (EmaConfig, "alpha", 1.1, "masking.alpha=1.1: must be greater than 0 and at most 1"),
        (MaskingConfig, "probability", 0, "masking.probability=0.0: must be between 0 and 1"),
        (MaskingConfig, "probability", 1, "masking.probability=1.0: must be between 0 and 1"),
    ],
)
def test_each_impossible_value_is_named(make, name, value, said):
    assert message(make, **{name: value}).startswith(said)


def test_borders_of_what_is_allowed():
    EmaConfig(alpha=1.0, tolerance=0.0, top_k=1)
    VdsConfig(history_batches=2)
    MaeConfig(window=1, width=4, pretrain_time_steps=0)


def test_a_replay_without_priorities_refuses_their_settings():
    said = refused("qmix", replay={"recency_decay": 0.9})
    assert said == ("replay.recency_decay=0.9: replay.kind=uniform does not read it; choose replay.kind=prioritised")
    config = settings_of("qmix", replay={"kind": "prioritised", "recency_decay": 0.9})
    assert config.replay == PrioritisedReplayConfig(recency_decay=0.9) and from_yaml(to_yaml(config)) == config
    assert load_config(["replay.recency_decay=0.9", "replay.kind=prioritised"]) == config
    assert message(load_config, overrides=["replay.recency_decay=0.9"]) == said
    assert refused("qmix", replay={"kind": "per"}).startswith("replay.kind=per: unknown; choose one of")


def test_every_class_of_settings_is_reached_by_a_choice():
    reached = {*ENV_CONFIGS.values(), *REPLAY_CONFIGS.values()}
    for system, made in SYSTEM_CONFIGS.items():
        for mixer in made.mixers:
            for rule in MASKING_CONFIGS:
                reached |= set(ChosenNames(system=system, mixer=mixer, masking=rule).classes().values())
    assert reached == set(every_class())


def test_names_classes_and_catalogues_are_the_same():
    assert list(SYSTEM_CONFIGS) == list(SYSTEMS) and list(MASKING_CONFIGS) == list(RULES)
    assert all(make().name == name for name, make in SYSTEM_CONFIGS.items())
    assert all(set(make.mixers) <= set(MIXER_CONFIGS) for make in SYSTEM_CONFIGS.values())
    assert all(make.rule in (None, *MASKING_CONFIGS) for make in SYSTEM_CONFIGS.values())
    for make in every_class():
        assert set(make.traced) <= {item.name for item in dataclasses.fields(make)}


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_a_system_reads_is_there_and_nothing_else(name):
    config = TrainConfig(system=SYSTEM_CONFIGS[name]())
    assert config == settings_of(name) == from_yaml(to_yaml(config))
    assert (config.mae is not None) == (name in WITH_CONTEXT) == config.has_context
    assert (config.masking is not None) == (name in WITH_MASKS)
    written = [line.rstrip(":") for line in to_yaml(config).splitlines() if not line.startswith(" ")]
    assert ("mae" in written, "masking" in written) == (name in WITH_CONTEXT, name in WITH_MASKS)
    assert set(traced_names(config)) <= set(dotted_names(ChosenNames(system=name)))


@pytest.mark.parametrize("system", ["iql", "vdn", "qmix", "qplex"])
@pytest.mark.parametrize("name", [item.name for item in dataclasses.fields(MaeConfig)])
def test_systems_without_context_refuse_every_setting_of_it(system, name):
    said = refused(system, mae={name: 1})
    readers = "ma2e or li_ma2e or oracle" if name in READ_BY_THE_ORACLE else "ma2e or li_ma2e"
    assert said == f"mae.{name}=1: system={system} does not read it; choose system={readers}"


def test_systems_without_masks_refuse_every_rule():
    for system in ("qmix", "oracle"):
        said = refused(system, masking={"name": "ema"})
        assert said == f"masking.name=ema: system={system} does not read it; choose system=ma2e or li_ma2e"
        assert "does not read it" in refused(system, masking={"tolerance": 0.3})
    assert message(TrainConfig, masking=EmaConfig()).startswith("masking: is not read by system=qmix")


def test_the_oracle_has_a_window_and_no_auto_encoder():
    values = {"window": 4, "width": 16, "num_heads": 2, "pretrain_time_steps": 0, "context": "window"}
    config = settings_of("oracle", mae=values)
    assert config.mae == WindowConfig(**values) and values.keys() == READ_BY_THE_ORACLE
    said = refused("oracle", mae={"encoder_layers": 2})
    assert said.endswith("system=oracle does not read it; choose system=ma2e or li_ma2e")
    assert message(TrainConfig, system=OracleConfig(), mae=MaeConfig()).startswith("mae: does not fit system=oracle")
    with pytest.raises(ValueError, match="has no MaeConfig"):
        _ = config.auto_encoder
    with pytest.raises(ValueError, match="has no MaskingConfig"):
        _ = config.masking_rule


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_refuses_the_settings_of_others(rule):
    """A run whose setting does nothing would be reported as another method."""
    values = {"tolerance": 0.1, "top_k": 2, "alpha": 0.9, "history_batches": 4, "time_constant_steps": 5.0}
    own = {item.name for item in dataclasses.fields(MASKING_CONFIGS[rule])}
    for name, value in values.items():
        section = {"name": rule, name: value}
        if name in own:
            config = settings_of("li_ma2e", masking=section)
            assert config.masking == MASKING_CONFIGS[rule](**section) and from_yaml(to_yaml(config)) == config
        else:
            said = refused("li_ma2e", masking=section)
            assert said.startswith(f"masking.{name}=") and f"masking={rule} does not read it; choose masking=" in said


def test_who_reads_it_is_said():
    said = refused("li_ma2e", masking={"alpha": 0.9})
    assert said == "masking.alpha=0.9: masking=mean_td does not read it; choose masking=ema"


@pytest.mark.parametrize(("system", "rule"), [("ma2e", "random"), ("li_ma2e", "mean_td")])
def test_a_system_comes_with_its_rule_and_takes_another(system, rule):
    assert settings_of(system).rule == rule
    assert settings_of(system, masking={"probability": 0.3}).masking_rule.probability == 0.3
    for other in RULES:
        assert settings_of(system, masking={"name": other}).rule == other


def test_settings_of_another_class_are_refused():
    assert message(TrainConfig, system=QmixConfig(name="vdn")) == "system.name=vdn: needs class VdnConfig"
    said = message(TrainConfig, system=LiMa2eConfig(), masking=MaskingConfig(name="ema"))
    assert said == "masking.name=ema: needs class EmaConfig"
    said = message(TrainConfig, mixer=MixerConfig(name="qmix"))
    assert said == "mixer.name=qmix: needs class QmixMixerConfig"


def test_a_granularity_that_the_rule_lacks_is_refused():
    said = refused("li_ma2e", masking={"name": "ema", "granularity": "row"})
    assert said == "masking.granularity=row: choose one of batch"
    # Also where the rule is the system's own.
    said = refused("li_ma2e", masking={"granularity": "slot"})
    assert said == "masking.granularity=slot: choose one of batch, row, step"
    assert settings_of("li_ma2e").masking_rule.unit == "batch"
    assert settings_of("ma2e").masking_rule.unit == "row"
    assert settings_of("li_ma2e", masking={"granularity": "step"}).masking_rule.unit == "step"


@pytest.mark.parametrize("name", SYSTEMS)
def test_only_systems_with_context_choose_their_mixer(name):
    own = SYSTEM_CONFIGS[name].mixers
    assert settings_of(name).mixing == MIXER_CONFIGS[own[0]](name=own[0])
    assert set(own) == (set(MIXER_CONFIGS) if name in WITH_CONTEXT else {own[0]})
    for mixer in MIXER_CONFIGS:
        if mixer in own:
            assert settings_of(name, mixer={"name": mixer}).mixing.name == mixer
        else:
            said = refused(name, mixer={"name": mixer})
            assert said.startswith(f"mixer={mixer}: system={name} has mixer={own[0]}; choose system=")
    assert refused(name, mixer={"name": "qtran"}).startswith("mixer=qtran: unknown; choose one of none, qmix,")


def test_a_mixer_refuses_the_sizes_of_others():
    said = refused("li_ma2e", mixer={"name": "qplex", "embed_dim": 8})
    assert said == "mixer.embed_dim=8: mixer=qplex does not read it; choose mixer=qmix"
    said = refused("vdn", mixer={"hypernet_dim": 8})
    assert said.startswith("mixer.hypernet_dim=8: system=vdn does not read it; choose system=qmix or qplex or")
    config = settings_of("qplex", mixer={"num_heads": 3, "hypernet_dim": 8})
    assert config.mixing == QplexMixerConfig(num_heads=3, hypernet_dim=8) and from_yaml(to_yaml(config)) == config


def test_there_is_no_context_where_it_is_off():
    assert not any(settings_of(name, mae={"context": "off"}).has_context for name in WITH_CONTEXT)
    assert settings_of("oracle", mae={"context": "window"}).has_context


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_chosen_on_the_command_line(rule):
    chosen = load_config(["system=li_ma2e", f"masking={rule}"])
    assert chosen == settings_of("li_ma2e", masking={"name": rule})
    assert load_config([f"masking={rule}", "system=li_ma2e"]) == chosen


def test_a_mixer_is_chosen_on_the_command_line():
    config = load_config(["system=oracle", "mixer=qplex", "mixer.num_heads=2"])
    assert config.mixing == QplexMixerConfig(num_heads=2)
    assert message(load_config, overrides=["mixer.name=vdn"]) == "mixer.name=vdn: cannot be set here; write mixer=vdn"
    assert load_config(["system=vdn"]).system == VdnConfig(reward_scale=10.0)


def test_settings_of_the_chosen_rule_win_over_its_file():
    config = load_config(["system=ma2e", "masking=ema", "masking.alpha=0.9", "mae.window=4"])
    assert config.masking == EmaConfig(alpha=0.9)
    assert config.mae == MaeConfig(window=4)
    assert load_config(["system=ma2e"]).rule == "random"


def test_what_a_system_does_not_read_is_refused_on_the_command_line():
    for overrides in (["masking=ema"], ["system=oracle", "masking=ema"], ["mae.window=4"]):
        assert "does not read it" in message(load_config, overrides=overrides)


# What versions of formats 1 and 2 wrote.
OLD = """
system: {name: NAME, hidden_size: 16, mixer: null, mixer_embed_dim: 32, mixer_hypernet_dim: 7}
mae: {window: 5, pretrain_env_steps: 20000}
masking: {name: null, alpha: 0.1}
evaluation: {every_env_steps: 123}
"""


def test_old_names_still_load():
    config = from_yaml(OLD.replace("NAME", "qmix"))
    assert config.mixing == QmixMixerConfig(embed_dim=32, hypernet_dim=7) and config.mae is None
    assert config.evaluation.every_time_steps == 123
    config = from_yaml(OLD.replace("NAME", "li_ma2e").replace("mixer: null", "mixer: qplex"))
    assert config.mixing == QplexMixerConfig(hypernet_dim=7)
    assert config.mae == MaeConfig() and config.rule == "mean_td"
    config = from_yaml(OLD.replace("NAME", "ma2e").replace("20000", "1").replace("name: null", "name: ema"))
    assert config.auto_encoder.pretrain_time_steps == 1 and config.masking == EmaConfig()


def test_the_old_rule_that_trained_nothing_loads_as_the_switch_that_it_is_now():
    for text in (OLD.replace("NAME", "li_ma2e").replace("name: null, alpha: 0.1", "name: frozen, probability: 0.5"),):
        config = from_yaml(text)
        assert config.auto_encoder.freeze_after_pretraining
        assert config.masking == MaskingConfig(probability=0.5) and config.rule == "random"
    stored = {"system": {"name": "ma2e"}, "mae": {"window": 3}, "masking": {"name": "frozen"}}
    config = from_dict(migrated(stored, 3))
    assert config.auto_encoder == MaeConfig(window=3, freeze_after_pretraining=True)
    assert config.masking == MaskingConfig()
    assert migrated(stored, 4) == stored


def test_old_settings_that_were_not_read_load_where_they_had_their_defaults():
    for old, new in (("window: 5", "window: 4"), ("alpha: 0.1", "alpha: 0.2")):
        said = message(from_yaml, text=OLD.replace("NAME", "qmix").replace(old, new))
        assert "does not read it" in said


def test_who_is_chosen_matters_only_with_one_view():
    mae = {"encoder_layers": 2, "training": "masked"}
    with pytest.raises(InputError, match=r"^masking.chooses=viewers: has no effect with mae.training=masked"):
        from_dict({"system": {"name": "li_ma2e"}, "mae": mae, "masking": {"name": "mean_td", "chooses": "viewers"}})
    one_view = {"system": {"name": "li_ma2e"}, "mae": mae | {"training": "one_view"}}
    made = from_dict(one_view | {"masking": {"name": "mean_td", "chooses": "viewers"}})
    assert made.masking_rule.chooses == "viewers"


def test_a_weight_without_effect_is_refused():
    with pytest.raises(InputError, match=r"^mae.loss_weight=2.0: has no effect without mae.td_gradient_to_mae=true"):
        MaeConfig(loss_weight=2.0)
    assert MaeConfig(loss_weight=2.0, td_gradient_to_mae=True).loss_weight == 2.0
