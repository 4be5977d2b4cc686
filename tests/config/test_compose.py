"""Overrides to settings: what works, and one clear line for what does not."""

import dataclasses
import os

import hydra
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from hypothesis import example, given, settings
from hypothesis import strategies as st

from limae_jax.catalogue.systems import SYSTEMS
from limae_jax.checks import show
from limae_jax.config import MetricsConfig, MpeConfig, QmixConfig, ReplayConfig, RunConfig, SmaxConfig, TrainConfig
from limae_jax.config.changes import check_continuation, check_evaluation, differences, may_change
from limae_jax.config.compose import GROUPS, config_dir, load_config, options, override_config
from limae_jax.config.sections import ChosenNames, dotted_names
from limae_jax.config.text import from_yaml, to_yaml
from limae_jax.errors import InputError
from limae_jax.runs.stored import check_run_dir, read_run

pytestmark = pytest.mark.slow


def refusal(*overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_config(overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_overrides_the_dataclasses_hold():
    assert load_config() == TrainConfig()


@pytest.mark.parametrize("family", ["smax", "mpe", "matrix", "codes"])
def test_every_setting_can_be_overridden(family):
    config = load_config([f"env={family}"])
    overrides = [f"env={family}"]
    for name in dotted_names(ChosenNames(env=family)):
        section, field = name.split(".")
        value = getattr(getattr(config, section), field)
        if name not in ("env.name", "system.name", "mixer.name"):
            overrides.append(f"{name}={show(value)}")
    assert load_config(overrides) == config


def test_choices_and_settings():
    config = load_config(["run.num_seeds=3", "experiment=quickstart"])
    assert (config.run.num_seeds, config.run.name, config.env.scenario) == (3, "quickstart", "3m")
    config = load_config(["system=vdn", "env.scenario=8m"])
    assert (config.system.name, config.env.scenario, config.run_dir) == ("vdn", "8m", "runs/vdn_8m")
    assert isinstance(load_config(["env=mpe"]).env, MpeConfig)
    assert load_config(["experiment=qmix_3m", "system=iql"]).system.name == "iql"
    assert load_config(["system.gamma=0.5", "system.gamma=0.6"]).system.gamma == 0.6


def test_values_that_people_type():
    assert load_config(["run.total_env_steps=1e6"]).run.total_env_steps == 1_000_000
    assert load_config(["run.total_env_steps=2_000_000"]).run.total_env_steps == 2_000_000
    assert load_config(["system.learning_rate=5e-4"]).system.learning_rate == 5e-4
    assert load_config(["run.seed_batching=4"]).run.seed_batching == "4"
    assert load_config(["run.dir=/tmp/a b/c-d:e"]).run_dir == "/tmp/a b/c-d:e"
    assert load_config(["run.name='${env.scenario}_x'"]).run.name == "3m_x"
    assert load_config(["run.name='1e6'"]).run.name == "1e6"
    env = load_config(["env.unit_type_health=[1,2,3,4,5,6]"]).env
    assert isinstance(env, SmaxConfig) and env.unit_type_health == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("foo=1", "foo=1: no such setting; `limae-jax config` shows all settings"),
        ("run.num_seed=3", "run.num_seed=3: no such setting; did you mean run.num_seeds?"),
        ("num_seeds=3", "num_seeds=3: no such setting; did you mean run.num_seeds?"),
        ("system.td_lamda=0.5", "system.td_lamda=0.5: no such setting; did you mean system.td_lambda?"),
        ("env.num_agents=3", "env.num_agents=3: env=smax does not read it; choose env=mpe"),
        ("sytem=vdn", "sytem=vdn: no such setting; did you mean system?"),
        ("hydra.run.dir=x", "hydra.run.dir=x: no such setting"),
        (
            "system=qmxi",
            "system=qmxi: unknown; choose one of ippo, iql, li_ma2e, ma2e, mappo, oracle, qmix, qplex, vdn. Did "
            "you mean 'qmix'?",
        ),
        ("experiment=quickstrat", "experiment=quickstrat: unknown; choose one of"),
        (
            "env=smac2",
            "env=smac2: unknown; choose one of codes, gymnasium, jaxmarl, matrix, mpe, pettingzoo, smac, smax,"
            " smax_smac_like."
            " Did you mean 'smac'?",
        ),
        ("env=smax_schema", "env=smax_schema: unknown"),
        ("system=../env/smax", "system=../env/smax: unknown"),
        ("system=null", "system=null: unknown"),
        ("system=[qmix,vdn]", "system=['qmix', 'vdn']: unknown"),
        ("experiment=3", "experiment=3: unknown"),
        ("system.name=vdn", "system.name=vdn: cannot be set here; write system=vdn"),
        ("env.name=mpe", "env.name=mpe: cannot be set here; write env=mpe"),
        ("+foo=1", "+foo=1: +, ~ and @ are not supported"),
        ("++run.num_seeds=1", "++run.num_seeds=1: +, ~ and @ are not supported"),
        ("~run", "~run: +, ~ and @ are not supported"),
        ("env@run=smax", "env@run=smax: +, ~ and @ are not supported"),
        ("run=3", "run=3: is a section; set its fields one by one, such as run.name=..."),
        ("run={num_seeds: 3}", "run={'num_seeds': 3}: is a section; set its fields one by one"),
        ("=3", "=3: +, ~ and @ are not supported; write section.field=value"),
        ("", "empty override: has no value"),
        ("foo", "foo: has no value; write section.field=value"),
        ("quickstart", "quickstart: has no value; did you mean experiment=quickstart?"),
        ("run.name=a(b", "run.name=a(b: cannot be read; put text with special characters in two pairs of quotes"),
        ("run.num_seeds=[1", "run.num_seeds=[1: cannot be read"),
        ("--num_seeds=1", "--num_seeds=1: cannot be read"),
        ("env.scenario=3m\nx", "env.scenario=3m x: cannot be read"),
        ("run.num_seeds=1,2", "run.num_seeds=1,2: takes one value, not several"),
        ("run.num_seeds=range(1,3)", "run.num_seeds=range(1,3): takes one value, not several"),
        ("run.num_seeds=???", "run.num_seeds=???: needs a value"),
        ("run.num_seeds=null", "run.num_seeds=null: needs a value"),
        ("run.num_seeds=", "run.num_seeds=: must be a whole number"),
        ("run.num_seeds=0", "run.num_seeds=0: must be greater than 0"),
        ("run.num_seeds={a: 1}", "run.num_seeds={'a': 1}: must be a whole number"),
        ("run.total_env_steps=500k", "run.total_env_steps=500k: must be a whole number"),
        ("run.total_env_steps=1e400", "run.total_env_steps=inf: must be a whole number"),
        ("run.name=[a]", "run.name=['a']: must be text; put it in quotes: 'run.name=\"...\"'"),
        ("run.name=${run.name}", "run.name: cannot be resolved"),
        ("run.name=${nothing}", "run.name: cannot be resolved"),
        ("run.name='${'", "run.name: cannot be resolved"),
        ("env.scenario=3", "env.scenario=3: '3' is not a list of counts and unit letters"),
        ("system.gamma=abc", "system.gamma=abc: must be a finite number"),
        ("system.gamma=nan", "system.gamma=nan: must be a finite number"),
        ("system.gamma=inf", "system.gamma=inf: must be a finite number"),
        ("system.gamma=[1]", "system.gamma=[1]: must be a finite number"),
        ("system.double_q=maybe", "system.double_q=maybe: must be true or false"),
        ("env.unit_type_health=[1,a]", "env.unit_type_health=a: must be a finite number"),
        ("replay.min_rows=3000", "replay.min_rows=3000: must not exceed replay.capacity_rows=1500"),
    ],
)
def test_each_mistake_is_one_clear_line(overrides, said):
    assert refusal(overrides).startswith(said)


def test_settings_of_another_environment_are_pointed_out():
    assert refusal("env=mpe", "env.sight_scale=0.5").endswith("env=mpe does not read it; choose env=smax")


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30))
def test_no_text_escapes_as_another_error(text):
    try:
        load_config([text])
    except InputError as error:
        assert "\n" not in str(error)


def test_every_experiment_composes_and_every_group_is_complete():
    assert options("system") == sorted(SYSTEMS)
    for name in options("experiment"):
        text = (config_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
        # A name in a section would silently win over a choice on the command line.
        assert not [part for part in yaml.safe_load(text).items() if part[0] in GROUPS and "name" in part[1]], name
        if "\nsweep:" in text:
            assert refusal(f"experiment={name}").startswith("experiment: is a sweep of several runs; start it with")
        else:
            config = load_config([f"experiment={name}"])
            assert from_yaml(to_yaml(config)) == config


def test_one_configuration_serves_every_map():
    maps = {"3m": 500_000, "8m": 500_000, "3s_vs_4z": 1_000_000}
    for scenario, steps in maps.items():
        config = load_config([f"experiment=qmix_{scenario}"])
        assert config == TrainConfig(
            env=SmaxConfig(scenario=scenario), run=RunConfig(num_seeds=3, total_env_steps=steps)
        )


def test_an_application_of_hydra_around_us_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.yaml").write_text("foo: 1\n")
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        outer = GlobalHydra.instance().hydra
        assert load_config(["run.num_seeds=2"]).run.num_seeds == 2
        assert GlobalHydra.instance().hydra is outer
        assert hydra.compose("train").foo == 1
    load_config()
    assert not GlobalHydra.instance().is_initialized()


@given(
    gamma=st.floats(0, 1),
    rate=st.floats(1e-12, 1, exclude_min=True),
    steps=st.integers(1, 2**31 - 1),
    project=st.text(max_size=20),
    health=st.none() | st.lists(st.floats(1e-3, 1e6), min_size=6, max_size=6),
)
@example(gamma=0.9, rate=0.1, steps=1, project="\x85", health=None)
@settings(max_examples=50, deadline=None)
def test_yaml_gives_back_what_was_written(gamma, rate, steps, project, health):
    config = TrainConfig(
        env=SmaxConfig(unit_type_health=health),
        system=QmixConfig(gamma=gamma, learning_rate=rate),
        metrics=MetricsConfig(wandb_project=project),
        run=RunConfig(total_env_steps=steps),
    )
    assert from_yaml(to_yaml(config)) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "not valid YAML"),
        ("3", "settings=3: must be a section of settings"),
        ("", "settings=null: must be a section of settings"),
        ("run: 3", "run=3: must be a section of settings"),
        ("runs: {}", "runs={}: no such setting"),
        ("run: {num_seed: 3}", "run.num_seed=3: no such setting; did you mean run.num_seeds?"),
        ("env: {name: chess}", "env=chess: unknown"),
        ("env: {name: [1]}", "env=[1]: unknown"),
        ("run: {num_seeds: 1e-3}", "run.num_seeds=1e-3: must be a whole number"),
    ],
)
def test_a_damaged_config_file_is_refused(text, said):
    with pytest.raises(InputError) as caught:
        from_yaml(text)
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_what_a_file_leaves_out_keeps_its_default():
    assert from_yaml("run: {num_seeds: 2}") == TrainConfig(run=RunConfig(num_seeds=2))
    assert from_yaml("env: {name: mpe}") == TrainConfig(env=MpeConfig())


def test_overrides_on_a_stored_run():
    stored = load_config(["experiment=quickstart"])
    assert override_config(stored, []) == stored
    assert override_config(stored, ["run.total_env_steps=400000"]).run.total_env_steps == 400_000
    assert override_config(stored, ["env=mpe"]).env == MpeConfig()
    for mistake in ("experiment=qmix_3m", "run.num_seed=2", "system=qmxi", "+a=1"):
        with pytest.raises(InputError, match=mistake.replace("+", r"\+")):
            override_config(stored, [mistake])


def test_differences_are_named_with_both_values():
    old, new = TrainConfig(), TrainConfig(run=RunConfig(num_seeds=3, name="a"), replay=ReplayConfig(batch_rows=8))
    assert differences(old, old) == []
    assert differences(old, new) == [
        "replay.batch_rows: 16 -> 8",
        "run.name: null -> a",
        "run.num_seeds: 1 -> 3",
    ]
    assert differences(old, TrainConfig(env=MpeConfig()))[0] == "env.name: smax -> mpe"


def test_a_run_may_move_and_grow_but_not_change(tmp_path):
    stored = TrainConfig()

    def wanted(**run):
        return TrainConfig(run=RunConfig(**run))

    check_continuation(stored, stored, tmp_path)
    check_continuation(stored, wanted(name="a", dir="b", total_env_steps=600_000), tmp_path)
    with pytest.raises(InputError, match=r"run.total_env_steps: 500000 -> 400000\); only a larger"):
        check_continuation(stored, wanted(total_env_steps=400_000), tmp_path)
    with pytest.raises(InputError, match=r"other settings \(run.num_seeds: 1 -> 2\)"):
        check_continuation(stored, wanted(total_env_steps=600_000, num_seeds=2), tmp_path)


def test_what_changes_no_result_may_change(tmp_path):
    stored = TrainConfig()
    free = {name for name in dotted_names(ChosenNames()) if may_change(name)}
    assert {"checkpoint.every_s", "run.max_memory_gib", "run.compilation_cache", "run.name", "run.dir"} <= free
    assert {f"metrics.{item.name}" for item in dataclasses.fields(MetricsConfig)} <= free
    assert {name.partition(".")[0] for name in free} == {"checkpoint", "metrics", "run"}
    assert not {"run.deterministic", "run.seed_batching", "run.num_seeds", "run.total_env_steps"} & free
    for override in (
        "metrics.wandb=true",
        "checkpoint.every_s=5",
        "run.max_memory_gib=3",
        "run.compilation_cache=false",
    ):
        check_continuation(stored, load_config([override]), tmp_path)
    for override in ("run.deterministic=true", "evaluation.num_episodes=64", "env.num_envs=4", "run.seed_batching=1"):
        with pytest.raises(InputError, match=override.partition("=")[0]):
            check_continuation(stored, load_config([override, "metrics.wandb=true"]), tmp_path)


def test_a_run_directory_holds_one_run(tmp_path):
    config = TrainConfig(run=RunConfig(dir=str(tmp_path / "run")))
    check_run_dir(config)
    (tmp_path / "run").mkdir()
    check_run_dir(config)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something other than a run"):
        check_run_dir(config)
    (tmp_path / "run" / "config.yaml").write_text(to_yaml(config))
    check_run_dir(config)
    with pytest.raises(InputError, match="num_seeds: 1 -> 2"):
        check_run_dir(TrainConfig(run=RunConfig(dir=config.run.dir, num_seeds=2)))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="holds something other than a run"):
        check_run_dir(TrainConfig(run=RunConfig(dir=str(tmp_path / "file"))))


def test_a_run_directory_that_cannot_be_made_is_told_before_anything_is_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"run.dir=.*file/run: cannot be made, .*file is not a writable folder"):
        check_run_dir(TrainConfig(run=RunConfig(dir=str(tmp_path / "file" / "run"))))
    new = TrainConfig(run=RunConfig(dir=str(tmp_path / "new" / "run")))
    check_run_dir(new)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    # As for a user who may not write there; root may everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=r"cannot be made, .* is not a writable folder"):
        check_run_dir(new)


def test_an_evaluation_may_change_the_game_only():
    stored = load_config(["env.scenario=5m_vs_6m"])
    check_evaluation(stored, override_config(stored, ["env.sight_scale=0.5", "env.max_steps=70"]))
    check_evaluation(stored, override_config(stored, ["env.scenario=5s_vs_6z", "evaluation.num_episodes=8"]))
    with pytest.raises(InputError, match="obs_size 75, not 140"):
        check_evaluation(stored, override_config(stored, ["env.scenario=3m"]))
    with pytest.raises(InputError, match=r"system.gamma: 0.99 -> 0.9: an evaluation can change env"):
        check_evaluation(stored, override_config(stored, ["system.gamma=0.9"]))


def test_reading_a_run_directory(tmp_path):
    tmp_path = tmp_path / "runs"  # beside which other tests put nothing
    tmp_path.mkdir()
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "config.yaml").write_text(to_yaml(TrainConfig()))
    assert read_run(tmp_path / "good") == TrainConfig()
    with pytest.raises(InputError, match=r"no such directory; did you mean .*/good\?"):
        read_run(tmp_path / "goood")
    with pytest.raises(InputError, match=r"holds no config.yaml.* did you mean .*/good\?"):
        read_run(tmp_path)
    (tmp_path / "grid" / "cell" / "seeds_0_to_1").mkdir(parents=True)
    (tmp_path / "grid" / "cell" / "seeds_0_to_1" / "config.yaml").write_text(to_yaml(TrainConfig()))
    with pytest.raises(InputError, match=r"it is a sweep; choose one of its 1 runs, such as .*/cell/seeds_0_to_1"):
        read_run(tmp_path / "grid")
    (tmp_path / "good" / "config.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"good/config.yaml: "):
        read_run(tmp_path / "good")


def test_groups_are_folders_of_configs():
    assert all(options(group) for group in GROUPS)
