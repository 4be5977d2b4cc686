"""config.yaml is what was written, or refused; one of before it had a checksum still serves."""

import hashlib

import pytest

from limae_jax.config import MetricsConfig, RunConfig, TrainConfig
from limae_jax.config.compose import load_config, override_config
from limae_jax.config.migration import migrated
from limae_jax.config.stored_yaml import plain_yaml, seal, unseal
from limae_jax.config.text import check_is_data, from_file, to_file, to_yaml
from limae_jax.errors import InputError
from limae_jax.runs.stored import check_run_dir, read_run

CONFIG = load_config(["system=li_ma2e", "env.unit_type_health=[45,125,160,150,35,80]", "run.num_seeds=3"])
# As the version before the checksum wrote it.
OLD = """\
env:
  name: mpe
  scenario: simple_spread
  num_envs: 8
  num_agents: 3
  max_steps: 25
system:
  name: iql
  hidden_size: 64
  mixer: null
  gamma: 0.99
  td_lambda: 0.6
  double_q: true
  learning_rate: 0.001
  max_grad_norm: 10.0
  reward_scale: 1.0
  target_update_env_steps: 5000
  updates_per_iteration: 4
  epsilon_start: 1.0
  epsilon_end: 0.05
  epsilon_decay_env_steps: 100000
replay:
  row_length: 64
  capacity_rows: 1500
  batch_rows: 16
  min_rows: 64
  observation_dtype: float32
  initial_carry: stored
evaluation:
  every_env_steps: 25000
  num_episodes: 128
checkpoint:
  every_s: 60.0
metrics:
  tensorboard: false
  wandb: false
  wandb_project: limae_jax
run:
  name: null
  dir: runs/old
  num_seeds: 1
  first_seed: 0
  total_env_steps: 500000
  seed_batching: auto
  deterministic: false
  compilation_cache: true
  max_memory_gib: null
"""


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        from_file(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_written_comes_back():
    assert from_file(to_file(CONFIG)) == CONFIG
    assert to_file(CONFIG).startswith("format: 6\nenv:\n")


def test_no_line_and_no_character_can_be_lost_or_changed():
    text = to_file(CONFIG)
    lines = text.splitlines(keepends=True)
    for number in range(len(lines)):
        refusal("".join(lines[:number]))
        refusal("".join(lines[number + 1 :]))
        for length in (1, 5):
            refusal("".join(lines[:number] + lines[number + length :]))
    for place in range(len(text)):
        refusal(text[:place] + text[place + 1 :])
        refusal(text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :])


def test_the_way_out_works():
    said = refusal(to_file(CONFIG).replace("num_seeds: 3", "num_seeds: 4"))
    assert "checksum" in said and "remove its first and last lines" in said
    opened = to_file(CONFIG).replace("num_seeds: 3", "num_seeds: 4").splitlines(keepends=True)[1:-1]
    assert from_file("".join(opened)).run.num_seeds == 4


def test_another_format_is_named_before_its_checksum_is_looked_at():
    assert refusal("format: 7\nanything: else\n").startswith("has format 7, this limae_jax reads formats 1 to 6;")


def test_a_file_of_before_the_checksum_still_serves_if_it_is_whole():
    config = from_file(OLD)
    assert (config.system.name, config.env.scenario, config.run.dir) == ("iql", "simple_spread", "runs/old")
    lines = OLD.splitlines(keepends=True)
    for number, line in enumerate(lines):
        assert refusal("".join(lines[:number]))
        said = refusal("".join(lines[:number] + lines[number + 1 :]))
        name = {"mixer": "mixer.name", "every_env_steps": "every_time_steps"}.get(line.split(":")[0].strip())
        name = name or line.split(":")[0].strip()
        if line.startswith("  ") and name not in ("name", "scenario", "num_agents"):  # those decide what else there is
            assert f"{name}: is missing" in said or said == "checkpoint=null: must be a section of settings"
    assert refusal(OLD.replace("  gamma: 0.99\n  td_lambda: 0.6\n", "")).startswith(
        "system.gamma and 1 more: is missing"
    )


def test_a_whole_file_may_lack_what_later_versions_added():
    text = to_yaml(from_file(OLD))
    assert from_file(seal(text.replace("  every_s: 60.0\n", "  every_s: 30.0\n"))).checkpoint.every_s == 30.0
    younger = text.replace("  max_memory_gib: null\n", "")  # as if it had been added since
    assert from_file(seal(younger)) == from_file(OLD)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2\n", "a appears twice"),
        ("a: {b: 1, c: 2, 'b': 3}\n", "b appears twice"),
        ("a: &x [1]\nb: *x\n", "not settings: has YAML anchors, aliases or tags"),
        ("a: *x\n", "not settings: has YAML anchors, aliases or tags"),
        ("a: !!int ''\n", "not settings: has YAML anchors, aliases or tags"),
        ("a: !!python/object/apply:os.system [ls]\n", "not settings: has YAML anchors, aliases or tags"),
        ("[" * 100_000, "not settings: nested more than 5 deep"),
        ("{a: " * 100_000, "not settings: nested more than 5 deep"),
        ("- " * 50_000, "not settings: nested more than 5 deep"),
        ("a: 2026-99-99\n", "not valid YAML: month must be in 1..12"),
        (f"a: {'1' * 5000}\n", "not valid YAML: Exceeds the limit"),
        ("a: \x00", "not valid YAML: unacceptable character"),
        ("? [1]\n: 2\n", "not valid YAML: while constructing a mapping"),
    ],
)
def test_only_plain_data_is_read(text, said):
    with pytest.raises(InputError) as caught:
        plain_yaml(text)
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "a${run.dir}", "\\${oc.env:HOME}", "${"])
def test_a_stored_setting_asks_for_nothing(value, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/secret")
    config = TrainConfig(run=RunConfig(dir="x"), metrics=MetricsConfig(wandb_project=value))
    for text in (to_file(config), to_yaml(config)):
        run_dir = tmp_path / "stored" / "run"
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / "config.yaml").write_text(text)
        with pytest.raises(InputError, match=r"metrics.wandb_project=.*is not resolved here") as caught:
            read_run(run_dir)
        assert "secret" not in str(caught.value)
    for use in (check_is_data, check_run_dir, lambda config: override_config(config, ["run.name='${env.scenario}'"])):
        with pytest.raises(InputError, match=r"metrics.wandb_project=.*is not resolved here"):
            use(config)


def test_what_was_typed_is_filled_in():
    stored = load_config(["run.name='${env.scenario}_x'"])
    assert stored.run.name == "3m_x"
    assert override_config(stored, ["run.name='${env.scenario}_y'"]).run.name == "3m_y"


def test_a_file_too_large_for_settings_is_not_read(tmp_path):
    run_dir = tmp_path / "stored" / "run"
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text("# \n" * 500_000)
    with pytest.raises(InputError, match="is too large for a settings file"):
        read_run(run_dir)


def test_the_checksum_can_be_made_again_by_hand():
    """What the file says of itself: the sha256 of the lines above."""
    above, _, line = to_file(CONFIG).rpartition("# ")
    assert line.split()[-1] == hashlib.sha256(above.encode()).hexdigest()
    assert unseal(to_file(CONFIG))[0] == 6


OF_FORMAT_5 = {"mlp_ratio": 4, "optimiser": "adam"}


def test_until_format_5_layers_were_wider_and_adam_the_only_optimiser():
    data = {"system": {"name": "li_ma2e"}, "mae": {"encoder_layers": 1, "training": "one_view"}, "env": {}}
    assert migrated(data, 5) == data | {"mae": data["mae"] | OF_FORMAT_5}
    assert set(data["mae"]) == {"encoder_layers", "training"}
    assert migrated(data, 6) == data
    oracle = {"system": {"name": "oracle"}, "mae": {"window": 5}, "env": {}}
    assert migrated(oracle, 5) == oracle


def test_until_format_4_the_auto_encoder_learned_from_masks():
    data = {"system": {"name": "li_ma2e"}, "mae": {"encoder_layers": 2, "loss_weight": 3.0}, "env": {}}
    assert migrated(data, 4)["mae"] == {"encoder_layers": 2, "training": "masked"} | OF_FORMAT_5
    assert data["mae"] == {"encoder_layers": 2, "loss_weight": 3.0}
    jointly = {"system": {"name": "li_ma2e"}, "mae": data["mae"] | {"td_gradient_to_mae": True}}
    assert migrated(jointly, 4)["mae"]["loss_weight"] == 3.0
    assert "training" not in migrated(data, 5)["mae"]
    # The oracle has windows but no auto-encoder; an exported team's settings have no format, but say how it learned.
    assert migrated({"system": {"name": "oracle"}, "mae": {"window": 5}}, 4)["mae"] == {"window": 5}
    now = {"system": {"name": "li_ma2e"}, "mae": {"encoder_layers": 2, "training": "one_view"}}
    assert migrated(now, 1)["mae"]["training"] == "one_view"


def test_until_format_4_teams_had_the_newest_parameters():
    data = {"system": {"name": "qmix", "target_update_env_steps": 5000}, "env": {}}
    assert migrated(data, 4) == {"system": data["system"] | {"average_env_steps": 0}, "env": {}}
    assert "average_env_steps" not in data["system"]
    assert migrated(data, 5) == data
    # An exported team's settings have no format.
    now = {"system": data["system"] | {"average_env_steps": 700}}
    assert migrated(now, 1) == now
    assert migrated({"system": {"name": "qmix"}}, 4) == {"system": {"name": "qmix"}}
