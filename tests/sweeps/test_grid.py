"""Cells of a sweep, from the command line and from the study's files."""

import pytest

from limae_jax.errors import InputError
from limae_jax.sweeps.grid import load_sweep

pytestmark = pytest.mark.slow


def cells(*overrides: str):
    return {cell.name: cell.config for cell in load_sweep(overrides).cells}


def test_comma_lists_are_axes_and_everything_else_holds_for_all_cells():
    made = cells("system=qmix,vdn", "run.num_seeds=3", "system.learning_rate=5e-4,1e-3", "env.scenario=8m")
    assert list(made) == [
        "system.learning_rate=0.0005,system=qmix",
        "system.learning_rate=0.001,system=qmix",
        "system.learning_rate=0.0005,system=vdn",
        "system.learning_rate=0.001,system=vdn",
    ]
    last = made["system.learning_rate=0.001,system=vdn"]
    assert (last.system.name, last.system.learning_rate, last.env.scenario) == ("vdn", 1e-3, "8m")
    assert {config.run.num_seeds for config in made.values()} == {3}


def test_hydras_other_ways_to_list_values():
    assert [config.replay.batch_rows for config in cells("replay.batch_rows=range(16,65,16)").values()] == [
        16,
        32,
        48,
        64,
    ]
    assert [config.system.gamma for config in cells("system.gamma=choice(0.9,0.99)").values()] == [0.9, 0.99]


def test_the_last_of_two_overrides_wins():
    assert list(cells("system=qmix,vdn", "system=iql,vdn")) == ["system=iql", "system=vdn"]
    assert list(cells("system=qmix,vdn", "system=iql")) == ["iql_3m"]


def test_a_long_name_is_cut_and_stays_apart():
    lists = [f"env.unit_type_{kind}=[1,2,3,4,5,6],[1,2,3,4,5,7]" for kind in ("health", "attacks", "attack_ranges")]
    lists += [f"env.unit_type_{kind}=[1,1,1,1,1,1],[1,1,1,1,1,2]" for kind in ("radiuses", "velocities")]
    names = list(cells(*lists))
    assert len(set(names)) == 32
    assert max(map(len, names)) < 255


def test_where_a_sweep_lives():
    assert load_sweep([]).settings.dir == "runs/sweep"
    assert load_sweep(["experiment=qmix_3m"]).settings.dir == "runs/qmix_3m"
    assert load_sweep(["experiment=study_a_headroom"]).settings.dir == "runs/study"
    assert load_sweep(["experiment=study_a_headroom", "sweep.dir=elsewhere"]).settings.dir == "elsewhere"


def test_the_study_is_the_one_that_was_fixed():
    counts = {"a_headroom": 30, "b_maps": 20, "c_sight": 40, "d_controls": 14, "e_rules": 12}
    for part, count in counts.items():
        made = cells(f"experiment=study_{part}")
        assert len(made) == count
        for config in made.values():
            steps = 2_000_000 if config.env.scenario == "3s_vs_5z" else 1_000_000
            assert (config.run.num_seeds, config.run.total_env_steps) == (3, steps)
            assert (config.evaluation.every_time_steps, config.evaluation.num_episodes) == (25_000, 128)
    # QMIX at full sight is trained once for (a) and (b).
    a, b = cells("experiment=study_a_headroom"), cells("experiment=study_b_maps")
    assert len(a.keys() & b.keys()) == 5
    assert all(a[name] == b[name] for name in a.keys() & b.keys())


def test_the_command_line_picks_from_an_experiments_axes_and_sets_seeds_and_length():
    made = cells("experiment=study_b_maps", "env.scenario=3s_vs_5z,8m", "system=li_ma2e", "run.total_env_steps=5000")
    assert list(made) == [
        f"env.scenario={scenario},env.sight_scale=1,masking={rule},system=li_ma2e"
        for scenario in ("3s_vs_5z", "8m")
        for rule in ("random_matched", "mean_td")
    ]
    assert {config.run.total_env_steps for config in made.values()} == {5000}
    assert len(cells("experiment=study_b_maps", "run.num_seeds=10", "system.gamma=0.9,0.95")) == 40


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("system=qmix,vdnn", "cell system=vdnn: system=vdnn: unknown"),
        (
            "system=qmix,li_ma2e masking=mean_td,random",
            "cell masking=mean_td,system=qmix: masking.name=mean_td: system=q",
        ),
        ("system.gamma=0.9,2", "cell system.gamma=2: system.gamma=2.0: must be between 0 and 1"),
        ("system.gamma=0.9,0.9", "sweep.axes: two cells are system.gamma=0.9"),
        ("system.reward_scale=null,10", "cells system.reward_scale=null and system.reward_scale=10: have the same"),
        ("system.gama=0.9,0.8", "cell system.gama=0.9: system.gama=0.9: no such setting; did you mean system.gamma?"),
        ("system.gamma=interval(0,1)", "system.gamma=interval(0,1): its values cannot be listed"),
        ("replay.batch_rows=range(5,1)", "replay.batch_rows=range(5,1): has no values"),
        ("replay.batch_rows=range(1,5,0)", "replay.batch_rows=range(1,5,0): a range needs finite numbers"),
        (f"sweep.dir={'a' * 256}", f"sweep.dir={'a' * 57}...: a path has at most"),
        ("run.total_env_steps=1000,2000", "run.total_env_steps: takes one value, the same for all cells"),
        ("run.dir=x", "run.dir=x: a sweep names its runs itself; choose sweep.dir"),
        ("sweep.dri=x", "sweep.dri=x: no such setting; did you mean sweep.dir?"),
        ("sweep.dir=a,b", "sweep.dir: takes one value, not several"),
        ("sweep.cluster=pbs", "sweep.cluster=pbs: choose one of none, slurm, local"),
        ("sweep.cluster_options={timeout_min:60}", "sweep.cluster_options={'timeout_min': 60}: needs sweep.cluster"),
        ("sweep.cluster=local sweep.cluster_options=3", "sweep.cluster_options=3: must be a mapping"),
        (
            "experiment=study_b_maps env.scenario=25m",
            "env.scenario=25m: not in the sweep, which has env.scenario=3s_vs_5z",
        ),
        ("experiment=study_b_maps system=qmix,oracle env.scenario=8m", "system=oracle: not in the sweep, which has"),
        ("experiment=study_a_headroom system=vdn,qmix", "system=vdn: not in the sweep, which has system=qmix, sys"),
        ("experiment=study_b_maps system=qmix,ma2e masking=random", "system=qmix: the sweep has it, but not together"),
        ("experiment=study_b_maps masking=random system=qmix", "masking=random: the sweep has it, but not together"),
        ("experiment=qmix_3m,iql_3m", "experiment=qmix_3m,iql_3m: a sweep takes one experiment"),
    ],
)
def test_each_mistake_is_one_clear_line(overrides, said):
    with pytest.raises(InputError) as caught:
        load_sweep(overrides.split())
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)
