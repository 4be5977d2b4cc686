"""What an override says: text as it is typed, and what cannot be is refused before anything is built."""

import pytest

from limae_jax.config.compose import load_config
from limae_jax.config.overrides import read_choices
from limae_jax.errors import InputError
from limae_jax.sweeps.grid import load_sweep

LOOK_LIKE_NUMBERS = [
    "2026_11_25",
    "1e3",
    "0x10",
    "1_000",
    "true",
    "False",
    "nan",
    "-inf",
    "+4",
    "007",
    "1.50",
    ".5",
]
OUTSIDE_HYDRAS_GRAMMAR = ["a~b", "a#b!", "Müller", "名前", "a=b", "100%", "a&b", "<a>", "a;b", "`a`", "a^b", "é 🙂"]
ENDLESS = ["0,nan", "nan,1", "0,inf,1", "0,1e400", "1,3000000", "0,1,1e-9", "1,5,0", f"0,{'9' * 400}", "0,1,-inf"]
TOO_LARGE = ["run.num_seeds=1e9", "evaluation.num_episodes=2147483647", "env.num_envs=1e9", "env.max_steps=2147483647"]
TOO_LARGE += ["system.hidden_size=1e6", "mixer.embed_dim=1e9", "system.updates_per_iteration=1e9"]
TOO_LARGE += ["replay.row_length=1e9", "env.world_steps_per_env_step=1e9", "env.map_width=1e9"]
TOO_LARGE += ["mae.window=1e6", "mae.encoder_layers=1e5", "mae.pretrain_updates_per_iteration=1e9"]


def refusal(*overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_sweep(overrides)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    return str(caught.value)


@pytest.mark.parametrize("text", LOOK_LIKE_NUMBERS + OUTSIDE_HYDRAS_GRAMMAR)
def test_a_text_counts_as_it_is_typed(text):
    config = load_config([f"run.name={text}", f"run.dir=runs/{text}", f"metrics.wandb_project={text}"])
    assert (config.run.name, config.run.dir, config.metrics.wandb_project) == (text, f"runs/{text}", text)
    assert load_config([f"run.dir={text}"]).run.dir == text
    assert load_sweep([f"sweep.dir={text}", "system=qmix,vdn"]).settings.dir == text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("  a b ", "a b"), ("'1e3'", "1e3"), ('"a b "', "a b "), ("'null'", "null"), ("null", None), ("Null", None)],
)
def test_quotes_and_blanks_around_a_text_are_not_of_it(typed, meant):
    assert load_config([f"run.name={typed}"]).run.name == meant


@pytest.mark.parametrize("typed", ["[a]", "{a:1}", "a,b", "'a", "a(b)", "", "a\nb"])
def test_what_is_no_text_is_refused(typed):
    assert refusal("system=qmix,vdn", f"metrics.wandb_project=x{typed}", f"sweep.dir={typed}")


def test_texts_of_a_sweep_count_as_they_are_typed():
    def projects(values):
        return [cell.config.metrics.wandb_project for cell in load_sweep([f"metrics.wandb_project={values}"]).cells]

    assert projects("2026_11_25,1e3, true,a") == ["2026_11_25", "1e3", "true", "a"]
    assert projects("choice(1_0,2.50)") == ["1_0", "2.50"]
    assert projects("'1e3','a,b'") == ["1e3", "a,b"]
    fixed = load_sweep(["metrics.wandb_project=2026_11_25", "system=qmix,vdn"]).cells
    assert {cell.config.metrics.wandb_project for cell in fixed} == {"2026_11_25"}
    assert [cell.name for cell in load_sweep(["env=smac", "env.difficulty=7,A"]).cells] == [
        "env.difficulty=7",
        "env.difficulty=A",
    ]
    assert "put each value in quotes" in refusal("metrics.wandb_project='a,b',1e3")
    assert "put each value in quotes" in refusal("metrics.wandb_project=sort(1e3,2_0)")


@pytest.mark.parametrize("values", [f"range({limits})" for limits in ENDLESS])
def test_ranges_without_end_are_refused(values):
    with pytest.raises(InputError, match="a range needs finite numbers, a non-zero step and at most 1000 values"):
        read_choices(f"system.learning_rate={values}")


@pytest.mark.parametrize(
    "value", ["[" * 5000, "[" * 200 + "]" * 200, "{a:" * 99 + "1" + "}" * 99, "sort(" * 60 + "1" + ")" * 60, "a" * 5000]
)
def test_what_is_too_deep_or_too_long_is_refused(value):
    assert "an override has at most 4000 characters" in refusal(f"sweep.cluster_options={value}")


def test_a_sweep_has_no_more_cells_than_can_be_checked():
    said = refusal("system.learning_rate=range(1,100)", "system.gamma=range(0,0.9,0.001)")
    assert said == "sweep: has 89199 cells, which must not exceed 1000; remove some choices"


@pytest.mark.parametrize("override", TOO_LARGE)
def test_what_nobody_can_build_is_refused_with_its_bound(override):
    others = ["system=li_ma2e", "replay.capacity_rows=2147483647"]
    assert ": must not exceed " in refusal(*others, override)
    assert f"={10**9}" in refusal("run.num_seeds=1e9")
    assert "env.num_agents=1000: must not exceed 100" in refusal("env=mpe", "env.num_agents=1000")
