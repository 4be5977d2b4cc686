"""The small files of a run directory: what they may say, and what is missed."""

import json

import pytest

from limae_jax.checks import MAX_INT
from limae_jax.errors import InputError
from limae_jax.runs.records import check_alone, check_saved, fillers, home_of, read_groups, runs_at_home


def groups_file(folder, groups):
    (folder / "groups.json").write_text(json.dumps(groups))
    return folder


def saved(folder, *names, of=()):
    """A run that noted saves of `names` and has checkpoints of `of`."""
    (folder / "saved.json").write_text(json.dumps(names))
    for name in of:
        (folder / "checkpoints" / name / "state" / "checkpoint_00000001").mkdir(parents=True)


@pytest.mark.parametrize(
    ("groups", "seeds"),
    [
        ([[0]], [0]),
        ([[0, 1], [2, 3]], [0, 1, 2]),  # the last one fills up
        ([[MAX_INT, 0]], [MAX_INT]),
        ([[7, 8], [7, 8]], [7, 8, 7, 8]),  # two runs of a sweep
        ([[7, 8], [8, 9]], [7, 8, 8]),
    ],
)
def test_the_groups_are_those_of_the_settings(tmp_path, groups, seeds):
    assert read_groups(groups_file(tmp_path, groups), seeds) == groups


@pytest.mark.parametrize("groups", [[[5], [6]], [[-1], [1]], [[1], [0]], [[0]], [[0, 1, 3]], [[0], [1], [4]], [[0, 0]]])
def test_groups_with_foreign_seeds_are_refused(tmp_path, groups):
    with pytest.raises(InputError, match=r"groups.json: has other seeds than the settings, 0 to 1; put the file back"):
        read_groups(groups_file(tmp_path, groups), [0, 1])


def test_fillers_are_the_seeds_beyond_the_last():
    assert fillers([3, 4], 2) == [5, 6]
    assert fillers([MAX_INT], 2) == [0, 1]
    assert fillers([3], 0) == []


def test_before_the_first_save_nothing_is_missed(tmp_path):
    check_saved(tmp_path, [0])
    check_saved(groups_file(tmp_path, [[0]]), [0])


@pytest.mark.parametrize("gone", ["checkpoints", "checkpoints/seeds_0_to_0", "checkpoints/seeds_0_to_0/state"])
def test_a_checkpoint_that_was_saved_is_missed(tmp_path, gone):
    groups_file(tmp_path, [[0], [1]])
    saved(tmp_path, "seeds_0_to_0", of=["seeds_0_to_0"])
    check_saved(tmp_path, [0, 1])
    (tmp_path / gone).rename(tmp_path / "elsewhere")
    said = r"checkpoints/seeds_0_to_0/state is missing, though the run was saved there; put it back"
    with pytest.raises(InputError, match=said):
        check_saved(tmp_path, [0, 1])


def test_groups_that_were_not_saved_so_are_refused(tmp_path):
    saved(tmp_path, "seeds_0_to_1", of=["seeds_0_to_1"])
    with pytest.raises(InputError, match=r"groups.json: cannot be read \(No such file"):
        check_saved(tmp_path, [0, 1])
    with pytest.raises(InputError, match=r"groups.json: has other groups than were saved"):
        check_saved(groups_file(tmp_path, [[0], [1]]), [0, 1])
    with pytest.raises(InputError, match=r"groups.json: has other groups than were saved"):
        check_saved(groups_file(tmp_path, [[0, 1], [2]]), [0, 1, 2])  # not of equal size
    check_saved(groups_file(tmp_path, [[0, 1]]), [0, 1])


def test_groups_are_missed_by_their_checkpoints_too(tmp_path):
    saved(tmp_path, of=["seeds_0_to_1"])
    (tmp_path / "saved.json").unlink()  # as a run of before it was kept
    with pytest.raises(InputError, match=r"groups.json: cannot be read \(No such file"):
        check_saved(tmp_path, [0, 1])


def test_the_groups_of_several_runs_are_saved_under_numbers(tmp_path):
    (tmp_path / "program.json").write_text(json.dumps({"runs": ["../a", "../b"]}))
    groups_file(tmp_path, [[0], [0]])
    saved(tmp_path, "group_0", "group_1", of=["group_0"])
    with pytest.raises(InputError, match="checkpoints/group_1/state is missing"):
        check_saved(tmp_path, [0, 0])


@pytest.mark.parametrize("place", ["/etc", "", "a\0b", "x" * 5000, 3, None, ["a"]])
def test_a_place_is_a_path_from_here(tmp_path, place):
    (tmp_path / "program.json").write_text(json.dumps({"home": place}))
    with pytest.raises(InputError, match=r"program.json: is damaged"):
        home_of(tmp_path)
    (tmp_path / "program.json").write_text(json.dumps({"runs": [place]}))
    with pytest.raises(InputError, match=r"program.json: is damaged"):
        runs_at_home(tmp_path)


def test_a_record_that_cannot_be_read_is_not_taken_for_none(tmp_path):
    path = tmp_path / "program.json"
    check_alone(tmp_path)
    path.mkdir()
    with pytest.raises(InputError, match=r"program.json: cannot be read \(Is a directory\)"):
        check_alone(tmp_path)
    path.rmdir()
    path.symlink_to("program.json")
    with pytest.raises(InputError, match=r"program.json: cannot be read \(Too many levels of symbolic links\)"):
        check_alone(tmp_path)
