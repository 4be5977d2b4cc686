"""Tables on terminals of all widths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text
from widths import WIDTHS, cut, terminal

from limae_jax.checks import one_line
from limae_jax.cli.doctor import Finding
from limae_jax.cli.listing import LISTINGS, print_evaluation, print_finding
from limae_jax.metrics.tables import Column, fits, hanging, table

COLUMNS = [Column("run"), Column("state", is_whole=True), Column("env\nsteps", is_number=True), Column("note")]
ROW = ["a_name", Text("to come", style="red"), "1,234,567", "words of a note that may be broken between them"]


def shown(width, columns, rows):
    console, output = terminal(width)
    console.print(table(console, columns, rows))
    return output.getvalue()


def test_columns_that_fit_stand_beside_each_other():
    lines = shown(80, COLUMNS, [ROW, ROW]).splitlines()
    assert [line.split() for line in lines[:2]] == [["env"], ["run", "state", "steps", "note"]]
    assert [line.split()[:4] for line in lines[2:]] == [["a_name", "to", "come", "1,234,567"]] * 2


def test_text_gives_way_before_numbers_and_whole_cells():
    lines = shown(46, COLUMNS, [ROW]).splitlines()
    assert lines[2].startswith("a_name  to come  1,234,567  words of a note")
    assert lines[3].split() == ["that", "may", "be", "broken"]


def test_what_does_not_fit_becomes_lines_of_its_own():
    assert shown(30, COLUMNS, [ROW, ["7", "", "8", ""]]).splitlines() == [
        "a_name",
        "  state to come",
        "  env steps 1,234,567",
        "  note words of a note that",
        "    may be broken between them",
        "run 7",
        "  env steps 8",
    ]


def test_a_word_longer_than_the_screen_is_broken_not_cut():
    assert shown(10, COLUMNS[:2], [["x" * 25, "done"]]).split() == ["x" * 10, "x" * 10, "x" * 5, "state", "done"]


def test_whether_columns_fit_can_be_asked():
    assert fits(terminal(26)[0], COLUMNS[:3], [ROW[:3]])
    assert not fits(terminal(25)[0], COLUMNS[:3], [ROW[:3]])


@given(
    st.lists(st.lists(st.text(st.sampled_from("ab1,=[]_ "), max_size=30), min_size=3, max_size=3), max_size=4),
    st.sampled_from([3, *WIDTHS]),
)
def test_no_word_of_any_table_is_cut(rows, width):
    columns = [Column("a"), Column("b", is_number=True), Column("c")]
    assert cut(shown(width, columns, [list(map(one_line, row)) for row in rows]) or " ", width, []) == []
    words = [word for row in rows for cell in row for word in cell.split()]
    text = shown(width, columns, [list(map(one_line, row)) for row in rows])
    assert [word for word in words if len(word) <= width - 4 and word not in text.split()] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("what", LISTINGS)
def test_no_list_cuts_a_number_or_a_name(what, width):
    wide, everything = terminal(500)
    LISTINGS[what](wide)
    console, narrow = terminal(width)
    LISTINGS[what](console)
    # The title above the names goes without saying where they are no column.
    words = [word for word in everything.getvalue().split() if word not in ("rule", "experiment")]
    assert cut(narrow.getvalue(), width, words) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("num_seeds", [1, 2, 9])
def test_no_evaluation_cuts_a_number_or_a_name(monkeypatch, num_seeds, width):
    console, output = terminal(width)
    monkeypatch.setattr("limae_jax.cli.listing.make_console", lambda: console)
    rows = [
        {"seed": 10**9 + seed, "system": "li_ma2e", "test_win_rate": 0.5 + seed / 1000, "test_episodes": 1024}
        for seed in range(num_seeds)
    ]
    print_evaluation(rows)
    words = [f"{10**9 + seed}" for seed in range(num_seeds)] + [f"{0.5 + seed / 1000:.3f}" for seed in range(num_seeds)]
    assert cut(output.getvalue(), width, [*words, "1,024", "li_ma2e", "win", "rate", "episodes"]) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_doctor_cuts_no_number_and_no_name(monkeypatch, width):
    console, output = terminal(width)
    monkeypatch.setattr("limae_jax.cli.listing.make_console", lambda: console)
    print_finding(Finding("packages", True, "jax 0.10.2, orbax-checkpoint 0.12.8"))
    print_finding(Finding("maps", False, f"/{'x' * 50}: is no folder; install them"))
    words = ["packages", "0.10.2", "orbax-checkpoint", "0.12.8", "FIX", f"/{'x' * 50}:", "folder;", "them"]
    assert cut(output.getvalue(), width, words) == []


@pytest.mark.parametrize(("width", "lines"), [(80, ["ok: one two three"]), (12, ["ok: one two", "    three"])])
def test_hanging_lines(width, lines):
    assert hanging("ok: one two three", width, 4).splitlines() == lines
