"""Names of maps and methods, and of the files that are called after them."""

import re

import pytest
from doubles.toy_runs import make_config
from hypothesis import given
from hypothesis import strategies as st

from limae_jax.analysis.labels import file_names, map_labels, method_labels


def methods(*settings: tuple[str, ...]) -> list[str]:
    return [label.name for label in method_labels([make_config(*some) for some in settings])]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ([("system.name=li_ma2e",)], ["li_ma2e (mean_td)"]),
        ([("system.name=oracle",)], ["oracle (not decentralised)"]),
        # Each says what differs, the one with the default too.
        (
            [("system.learning_rate=1e-3",), ("system.learning_rate=5e-4",)],
            ["qmix (learning_rate=0.001)", "qmix (learning_rate=0.0005)"],
        ),
        (
            [("system.gamma=0.9", "replay.batch_rows=8"), ("system.gamma=0.99",)],
            ["qmix (gamma=0.9, batch_rows=8)", "qmix (gamma=0.99, batch_rows=16)"],
        ),
        # Others of another kind have nothing to do with it.
        (
            [("system.name=vdn", "system.gamma=0.9"), ("system.name=iql", "system.gamma=0.95")],
            ["vdn", "iql"],
        ),
        # Many settings, each changed by itself: what is usual goes without saying.
        (
            [(), ("system.gamma=0.9",), ("replay.batch_rows=8",), ("system.td_lambda=0",)],
            ["qmix (defaults)", "qmix (gamma=0.9)", "qmix (batch_rows=8)", "qmix (td_lambda=0)"],
        ),
        # Two sections have a learning rate.
        (
            [
                ("system.name=li_ma2e", "system.learning_rate=5e-4"),
                ("system.name=li_ma2e", "mae.learning_rate=5e-4"),
            ],
            [
                "li_ma2e (mean_td, learning_rate=0.0005, mae.learning_rate=0.02)",
                "li_ma2e (mean_td, learning_rate=0.001, mae.learning_rate=0.0005)",
            ],
        ),
    ],
)
def test_labels_of_methods(settings, names):
    assert methods(*settings) == names


def test_labels_of_maps():
    healths = ("env.unit_type_health=[45,125,160,150,35,80]", "env.unit_type_health=[60,125,160,150,35,80.5]")
    labels = map_labels([make_config(health) for health in healths])
    assert [label.name for label in labels] == [
        "3m (unit_type_health=[45,125,160,150,35,80])",
        "3m (unit_type_health=[60,125,160,150,35,80.5])",
    ]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("3m", "3m"),
        ("3m (sight_scale=0.3)", "3m_sight_scale=0.3"),
        ("../../etc/passwd", "etc_passwd"),
        ("a\nb|`c`<d>", "a_b_c_d"),
        ("über ½", "ber"),
        ("...", "map"),
    ],
)
def test_file_names(name, file):
    assert file_names([name]) == {name: file}


def test_file_names_of_long_names_differ():
    lists = [f"3m (unit_type_health=[{number},{','.join(['125'] * 90)}])" for number in (45, 60, 75)]
    files = file_names([*lists, "3M", "3m"])
    assert len({file.lower() for file in files.values()}) == 5
    assert max(map(len, files.values())) < 80


@given(st.lists(st.text(max_size=120), max_size=6))
def test_file_names_are_safe_and_unique(names):
    files = file_names(names)
    assert len({file.lower() for file in files.values()}) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z0-9=_.-]{1,80}", file) and file[0] not in "._" for file in files.values())
