"""The dataclasses: types brought to order, impossible settings refused, all in one line."""

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest

from limae_jax.checks import MAX_INT, show
from limae_jax.config import (
    ENV_CONFIGS,
    SYSTEM_CONFIGS,
    CheckpointConfig,
    EnvConfig,
    EvalConfig,
    MetricsConfig,
    MpeConfig,
    PrioritisedReplayConfig,
    QmixConfig,
    ReplayConfig,
    RunConfig,
    SmaxConfig,
    TrainConfig,
)
from limae_jax.config.sections import every_class
from limae_jax.environments import ENVIRONMENTS
from limae_jax.errors import InputError

NAN, INF = float("nan"), float("inf")


def message(make, **values) -> str:
    with pytest.raises(InputError) as caught:
        make(**values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_are_valid_and_say_where_the_run_lives():
    config = TrainConfig()
    assert (config.run_dir, config.seeds) == ("runs/qmix_3m", (0,))
    assert TrainConfig(run=RunConfig(name="a")).run_dir == "runs/a"
    assert TrainConfig(run=RunConfig(name="a", dir="b/c")).run_dir == "b/c"
    assert TrainConfig(run=RunConfig(first_seed=4, num_seeds=3)).seeds == (4, 5, 6)


def test_values_are_brought_to_the_declared_type():
    run = RunConfig(total_env_steps=1e6, seed_batching=4, num_seeds=np.int64(2), name=7)  # type: ignore[arg-type]
    assert (run.total_env_steps, run.seed_batching, run.num_seeds, run.name) == (1_000_000, "4", 2, "7")
    assert type(run.total_env_steps) is int and type(run.num_seeds) is int
    gamma = QmixConfig(gamma=1).gamma
    assert gamma == 1.0 and type(gamma) is float
    assert QmixConfig(learning_rate="1e-3").learning_rate == 1e-3  # type: ignore[arg-type]
    env = SmaxConfig(unit_type_health=[1, 2, 3, 4, 5, 6])  # type: ignore[arg-type]
    assert env.unit_type_health == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    assert isinstance(hash(TrainConfig(env=env)), int)


@pytest.mark.parametrize(
    ("make", "name", "value", "said"),
    [
        (RunConfig, "num_seeds", 0, "run.num_seeds=0: must be greater than 0"),
        (RunConfig, "num_seeds", 1.5, "run.num_seeds=1.5: must be a whole number"),
        (RunConfig, "num_seeds", True, "run.num_seeds=true: must be a whole number"),
        (RunConfig, "num_seeds", NAN, "run.num_seeds=nan: must be a whole number"),
        (RunConfig, "num_seeds", INF, "run.num_seeds=inf: must be a whole number"),
        (RunConfig, "num_seeds", None, "run.num_seeds=null: needs a value"),
        (RunConfig, "total_env_steps", 1e10, f"run.total_env_steps=10000000000.0: must not exceed {MAX_INT}"),
        (RunConfig, "first_seed", -1, "run.first_seed=-1: must not be negative"),
        (RunConfig, "seed_batching", "some", "run.seed_batching=some: choose auto"),
        (RunConfig, "seed_batching", 0, "run.seed_batching=0: choose auto"),
        (RunConfig, "name", "a/b", "run.name=a/b: must be a plain folder name"),
        (RunConfig, "name", "..", "run.name=..: must be a plain folder name"),
        (RunConfig, "name", "é" * 128, f"run.name={'é' * 57}...: a path has at most 3800 bytes and each name"),
        (RunConfig, "dir", f"a/{'b' * 256}/c", f"run.dir=a/{'b' * 55}...: a path has at most"),
        (RunConfig, "dir", "a/" * 2000, f"run.dir={'a/' * 28}a...: a path has at most"),
        (RunConfig, "name", 1.5, "run.name=1.5: must be text"),
        (RunConfig, "dir", "", "run.dir=: must be a path"),
        (RunConfig, "deterministic", 1, "run.deterministic=1: must be true or false"),
        (RunConfig, "max_memory_gib", -1, "run.max_memory_gib=-1.0: must be greater than 0"),
        (QmixConfig, "gamma", "abc", "system.gamma=abc: must be a finite number"),
        (QmixConfig, "gamma", 10**400, f"system.gamma=1{'0' * 56}...: must be a finite number"),
        (RunConfig, "num_seeds", 10**400, f"run.num_seeds=1{'0' * 56}...: must not exceed {MAX_INT}"),
        (QmixConfig, "gamma", NAN, "system.gamma=nan: must be a finite number"),
        (QmixConfig, "gamma", -INF, "system.gamma=-inf: must be a finite number"),
        (QmixConfig, "gamma", 1.01, "system.gamma=1.01: must be between 0 and 1"),
        (QmixConfig, "learning_rate", 0, "system.learning_rate=0.0: must be greater than 0"),
        (QmixConfig, "epsilon_start", 0.01, "system.epsilon_end=0.05: must not exceed system.epsilon_start"),
        (ReplayConfig, "min_rows", 2000, "replay.min_rows=2000: must not exceed replay.capacity_rows=1500"),
        (ReplayConfig, "observation_dtype", "int8", "replay.observation_dtype=int8: choose one of float32, float16"),
        (ReplayConfig, "initial_carry", "ones", "replay.initial_carry=ones: choose one of stored, zeros"),
        (ReplayConfig, "kind", "per", "replay.kind=per: choose one of uniform, prioritised"),
        (PrioritisedReplayConfig, "priority", "mean", "replay.priority=mean: choose one of team, agents"),
        (PrioritisedReplayConfig, "priority_exponent", 1.1, "replay.priority_exponent=1.1: must be between 0 and 1"),
        (
            PrioritisedReplayConfig,
            "importance_exponent",
            -0.1,
            "replay.importance_exponent=-0.1: must be between 0 and 1",
        ),
        (
            PrioritisedReplayConfig,
            "importance_anneal_env_steps",
            0,
            "replay.importance_anneal_env_steps=0: must be greater than",
        ),
        (PrioritisedReplayConfig, "recency_decay", 0, "replay.recency_decay=0.0: must be greater than 0 and at most 1"),
        (EvalConfig, "num_episodes", 0, "evaluation.num_episodes=0: must be greater than 0"),
        (CheckpointConfig, "every_s", 0, "checkpoint.every_s=0.0: must be greater than 0"),
        (MetricsConfig, "wandb", "yes", "metrics.wandb=yes: must be true or false"),
        (SmaxConfig, "sight_scale", 0, "env.sight_scale=0.0: must be in (0, 1]"),
        (SmaxConfig, "sight_scale", 1.1, "env.sight_scale=1.1: must be in (0, 1]"),
        (SmaxConfig, "attack_mode", "far", "env.attack_mode=far: choose one of closest, random"),
        (SmaxConfig, "unit_type_health", 3, "env.unit_type_health=3: must be a list"),
        (SmaxConfig, "unit_type_health", [1, 2], "env.unit_type_health=[1.0, 2.0]: needs 6 numbers"),
        (
            SmaxConfig,
            "unit_type_health",
            [1, 2, 3, 4, 5, 0],
            "env.unit_type_health=[1.0, 2.0, 3.0, 4.0, 5.0, 0.0]: must",
        ),
        (SmaxConfig, "scenario", "3q", "env.scenario=3q: no unit 'q'"),
        (MpeConfig, "scenario", "3m", "env.scenario=3m: unknown"),
        (MpeConfig, "num_agents", 0, "env.num_agents=0: must be greater than 0"),
    ],
)
def test_each_impossible_value_is_named(make, name, value, said):
    assert message(make, **{name: value}).startswith(said)


def test_combinations_of_sections_are_checked():
    assert message(TrainConfig, env=3) == "env=3: must be a section of settings"
    assert message(TrainConfig, env=EnvConfig()).startswith("env.name=smax: needs class SmaxConfig")
    assert message(TrainConfig, env=SmaxConfig(name="mpe")).startswith("env.name=mpe: needs class MpeConfig")
    assert message(TrainConfig, env=SmaxConfig(name="chess")).startswith("env=chess: unknown")
    assert message(QmixConfig, name="qmxi").endswith("Did you mean 'qmix'?")
    few = ReplayConfig(capacity_rows=4, min_rows=4, batch_rows=4)
    assert message(TrainConfig, replay=few) == "replay.capacity_rows=4: must be at least env.num_envs=8"
    last = f"run.first_seed={MAX_INT}: the last seed must not exceed {MAX_INT}"
    assert message(RunConfig, first_seed=MAX_INT, num_seeds=2) == last
    assert RunConfig(first_seed=MAX_INT).first_seed == MAX_INT


def test_every_environment_has_settings():
    assert set(ENV_CONFIGS) == set(ENVIRONMENTS)
    assert all(make().name == name for name, make in ENV_CONFIGS.items())


def test_every_setting_is_described():
    for make in (*every_class(), EnvConfig):
        above = {name for base in make.__mro__[1:-1] for name in inspect.get_annotations(base)}
        known = above | {"section", "traced", "mixers", "beliefs", "rule", "name", "scenario"}
        own = [name for name in inspect.get_annotations(make) if name not in known]
        own = [name for name in own if not name.startswith("unit_type_")]
        missing = [name for name in own if f"{name}:" not in make.__doc__ and f"{name}," not in make.__doc__]
        assert not missing, f"{make.__name__} does not say what {missing} are"


def test_values_are_shown_on_one_short_line():
    assert show("a\n b") == "a b" and show(None) == "null" and show((1, 2)) == "[1, 2]"
    assert len(show("x" * 1000)) == 60


def test_library_use_needs_neither_hydra_nor_jax():
    code = (
        "import sys, limae_jax; limae_jax.TrainConfig(); "
        "sys.exit(' '.join({'hydra', 'omegaconf', 'jax', 'jaxmarl'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stderr.strip() == ""


def test_the_package_offers_its_names():
    import limae_jax

    assert limae_jax.TrainConfig is TrainConfig and limae_jax.InputError is InputError
    assert {"train", "load_policy", "load_config", "TrainResult"} <= set(dir(limae_jax))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        limae_jax.trian  # noqa: B018


def test_systems_without_stored_rows_read_only_the_length_of_a_row():
    many = SmaxConfig(num_envs=4000)
    for name in ("mappo", "ippo"):
        system = SYSTEM_CONFIGS[name]()
        assert TrainConfig(env=many, system=system, replay=ReplayConfig(row_length=128)).replay.row_length == 128
        for setting, value in (("batch_rows", 8), ("initial_carry", "zeros"), ("capacity_rows", 64)):
            said = message(TrainConfig, system=system, replay=ReplayConfig(**{setting: value}))
            fix = f"has no effect with system={name}, which stores no rows; leave it out"
            assert said == f"replay.{setting}={value}: {fix}"
        said = message(TrainConfig, system=system, replay=PrioritisedReplayConfig())
        assert said.startswith(f"replay.kind=prioritised: has no effect with system={name}")


@pytest.mark.parametrize(
    "system, changed, said",
    [
        ("mappo", {"clip": 0}, "system.clip=0.0: must be greater than 0"),
        ("mappo", {"gae_lambda": 1.5}, "system.gae_lambda=1.5: must be between 0 and 1"),
        ("mappo", {"minibatches": 0}, "system.minibatches=0: must be greater than 0"),
        ("mappo", {"entropy_weight": -1}, "system.entropy_weight=-1.0: must not be negative"),
        ("mappo", {"value_norm_decay": 1}, "system.value_norm_decay=1.0: must be at least 0 and less than 1"),
        ("ippo", {"critic": "central"}, "system.critic=central: choose one of shared, own"),
        (
            "ippo",
            {"value_norm": False, "value_norm_decay": 0.9},
            "system.value_norm_decay=0.9: has no effect with system.value_norm=false; leave it out",
        ),
    ],
)
def test_settings_of_ppo_that_are_refused(system, changed, said):
    assert message(SYSTEM_CONFIGS[system], **changed) == said
