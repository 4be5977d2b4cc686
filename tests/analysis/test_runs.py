"""Which seeds are pooled, under which name, and what is refused."""

import json

import pytest
from doubles.toy_runs import write_run

from limae_jax.analysis.runs import read_study
from limae_jax.errors import InputError

WINS = [[0.0, 0.5], [0.25, 0.75]]


def refusal(*runs) -> str:
    with pytest.raises(InputError) as refused:
        read_study(runs)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_seeds_of_equal_settings_are_pooled(tmp_path):
    first = write_run(tmp_path / "a", WINS, "system.name=qmix", "checkpoint.every_s=5")
    second = write_run(tmp_path / "b", WINS, "system.name=qmix", "run.first_seed=5", "run.seed_batching=vmapped")
    study = read_study([first, second])
    (cell,) = study.cells
    assert (cell.map, cell.method, cell.masking, cell.budget_env_steps) == ("3m", "qmix", None, 200)
    assert [seed.seed for seed in cell.seeds] == [0, 1, 5, 6]
    assert cell.seeds[3].metric("test_win_rate").tolist() == [0.25, 0.75]
    assert study.notes == ()


def test_a_method_is_named_by_what_differs(tmp_path):
    runs = [
        write_run(tmp_path / "a", WINS, "system.name=li_ma2e", "masking.name=ema", "masking.alpha=0.1"),
        write_run(tmp_path / "b", WINS, "system.name=li_ma2e", "masking.name=ema", "masking.alpha=0.9"),
        write_run(tmp_path / "c", WINS, "system.name=ma2e"),
        write_run(tmp_path / "d", WINS, "system.name=oracle"),
        write_run(tmp_path / "e", WINS, "system.name=qmix"),
    ]
    study = read_study(runs)
    # QMIX is what the others are compared with, wherever it was named.
    others = ("li_ma2e (ema, alpha=0.1)", "li_ma2e (ema, alpha=0.9)", "ma2e (random)", "oracle (not decentralised)")
    assert study.methods == ("qmix", *others)


def test_games_that_differ_are_different_maps(tmp_path):
    runs = [
        write_run(tmp_path / "a", WINS, "env.sight_scale=0.5"),
        write_run(tmp_path / "b", WINS),
        write_run(tmp_path / "c", [[0.0] * 3], "env.scenario=8m"),
    ]
    study = read_study(runs)
    assert study.maps == ["3m (sight_scale=0.5)", "3m (sight_scale=1)", "8m"]
    assert [cell.budget_env_steps for cell in study.cells] == [200, 200, 300]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"versions": {"jaxmarl": "0.1.0"}}, "3m was played with jaxmarl 0.1.0, in {a} with 0.2.0"),
        ({"wins": [[0.0] * 3] * 2}, "3m has run.total_env_steps=300, in {a} 200; extend the shorter"),
        ({"settings": ["evaluation.num_episodes=64"]}, "3m has evaluation.num_episodes=64, in {a} 128"),
        ({"settings": ["run.first_seed=1"]}, "seed 1 of qmix on 3m is in {a} too"),
    ],
)
def test_what_must_not_stand_together_is_refused(tmp_path, other, said):
    first = write_run(tmp_path / "a", WINS)
    # Another budget, game or evaluation is refused for other methods too; they would be compared.
    system = () if "first_seed" in str(other) else ("system.name=vdn",)
    second = write_run(
        tmp_path / "b", other.get("wins", WINS), *system, *other.get("settings", ()), versions=other.get("versions")
    )
    assert refusal(first, second).startswith(f"RUN_DIR={second}: " + said.format(a=first))


def test_a_run_is_named_once(tmp_path):
    run = write_run(tmp_path / "a", WINS)
    assert refusal(run, run / ".." / "a").startswith("RUN_DIR: a directory is named twice")
    assert refusal(tmp_path).startswith(f"RUN_DIR={tmp_path}: holds no config.yaml")


def test_seeds_without_the_whole_budget_are_left_out_and_named(tmp_path):
    run = write_run(tmp_path / "a", [*WINS, [0.9, 0.9]])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows[-1]["is_failed"] = True
    kept = [row for row in rows if (row["seed"], row["env_steps"]) != (0, 200)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    study = read_study([run])
    assert [seed.seed for seed in study.cells[0].seeds] == [1]
    assert study.notes == (
        "qmix on 3m: seed 0 has 100 of 200 env steps and is left out.",
        "qmix on 3m: seed 2 failed (its loss was not finite) and is left out.",
    )
    (run / "metrics.jsonl").write_text("")
    assert "no seed has finished; continue it with limae-jax resume" in refusal(run)


def fail(run, *seeds):
    """Marks seeds of a run as failed."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    marked = [row | {"is_failed": row["seed"] in seeds} for row in rows]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in marked))


def test_failed_seeds_are_not_to_be_resumed(tmp_path):
    failed, other = write_run(tmp_path / "a", WINS), write_run(tmp_path / "b", WINS, "system.name=vdn")
    fail(failed, 0, 1)
    fail(other, 0, 1)
    for runs in ([failed], [failed, other]):
        said = refusal(*runs)
        assert said.startswith(f"RUN_DIR={failed}: every seed failed") and "resume" not in said
    # Where a seed has only not finished, its run is the one to resume.
    (other / "metrics.jsonl").write_text("")
    assert f"RUN_DIR={other}: no seed has finished" in refusal(failed, other)
    fail(write_run(tmp_path / "c", WINS, "system.name=iql"), 1)
    study = read_study([failed, tmp_path / "c"])
    assert study.notes == tuple(
        f"{name}: seed {seed} failed (its loss was not finite) and is left out."
        for name, seed in (("qmix on 3m", 0), ("qmix on 3m", 1), ("iql on 3m", 1))
    )
    assert study.methods == ("iql",)


def test_damage_is_named(tmp_path):
    run = write_run(tmp_path / "a", WINS)
    (run / "versions.json").write_text("{")
    assert refusal(run).startswith(f"{run / 'versions.json'}: is damaged")
    (run / "metrics.jsonl").write_text('{"seed": 0}\n')
    assert "line 1 lacks phase, env_steps" in refusal(run)


def test_other_versions_are_noted(tmp_path):
    runs = [
        write_run(tmp_path / "a", WINS),
        write_run(tmp_path / "b", WINS, "system.name=vdn", versions={"jax": "0.9"}),
    ]
    assert read_study(runs).notes == ("The runs differ in jax: 0.10.2, 0.9.",)


def test_seeds_of_one_method_from_other_commits_are_named(tmp_path):
    runs = [
        write_run(tmp_path / "a", WINS),
        write_run(tmp_path / "b", WINS, "run.first_seed=5", versions={"git_commit": None}),
    ]
    differ = "differ in git_commit: abc, not recorded."
    assert read_study(runs).notes == (f"The seeds of qmix on 3m {differ}", f"The runs {differ}")
