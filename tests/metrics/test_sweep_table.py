"""The table of a sweep: states, scores, the time left."""

import io

import pytest
from rich.console import Console

from limae_jax.metrics.sweep_table import CellConsole, Line, SweepTable


@pytest.fixture
def made():
    """A table of three runs of two seeds, its output, and a clock to set."""
    output, now = io.StringIO(), [100.0]
    lines = [Line(name, 2, 1000) for name in ("a", "b", "c")]
    table = SweepTable(lines, console=Console(file=output, width=100))
    table._clock = lambda: now[0]
    return table, output, now


def row(seed, env_steps=0, win=None):
    return {"seed": seed, "env_steps": env_steps, "test_win_rate": win, "test_return_mean": -1.5}


def test_the_time_left_goes_by_the_speed_of_training(made):
    table, _, now = made
    with table:
        table.mark(0, "done")
        console = CellConsole(table, 1)
        console.start(["title"])
        now[0] += 3600.0  # compiling tells nothing of the speed
        assert table.seconds_left() is None and table.counts() == "1 done, 1 running, 1 to come"
        console.update("train", 0, 0.0, None, None, None)
        assert table.seconds_left() is None
        console.update("train", 500, 50.0, 20.0, None, None)
        # 1000 steps of this run and 2000 of the next are missing.
        assert table.seconds_left() == pytest.approx(3000 / 50)
        assert table.counts() == "1 done, 1 running, 1 to come; about 1:00 left"
        table.mark(1, "failed", "seed 1")
        assert table.seconds_left() == pytest.approx(2000 / 50)
        table.mark(2, "broken", "no game")
        assert table.counts() == "1 done, 1 failed, 1 broken"


def test_runs_of_one_program_share_its_speed(made):
    table, _, _ = made
    with table:
        for index in range(2):
            console = CellConsole(table, index)
            console.start(["title"])
            console.update("train", 500, 25.0, 40.0, None, None)
        assert table.seconds_left() == pytest.approx(4000 / 50)
        # A run that has all of its steps waits for the other one, which has the program for itself.
        CellConsole(table, 0).update("train", 1000, 25.0, 0.0, None, None)
        CellConsole(table, 1).update("train", 750, 40.0, 12.5, None, None)
        assert table.seconds_left() == pytest.approx(2500 / 40)


def test_elsewhere_than_on_a_terminal_each_change_is_a_line_and_the_table_comes_last(made):
    table, output, _ = made
    with table:
        console = CellConsole(table, 0)
        console.start(["title"])
        console.evaluation([row(0, win=0.25), row(1, win=0.75)])
        console.note("not shown")
        console.summary([row(0, win=0.5), row(1, win=0.75)], [], "dir", 1.0)
        table.mark(0, "done")
        CellConsole(table, 1).evaluation([row(0)])
    lines = output.getvalue().splitlines()
    assert lines[:2] == ["a: running", "a: done  0.62 [0.50 to 0.75]"]
    assert [line.split()[:2] for line in lines[3:6]] == [["a", "done"], ["b", "to"], ["c", "to"]]
    assert "-1.50" in lines[4]
    assert "not shown" not in output.getvalue()


def test_what_others_wrote_is_shown_as_it_is(made):
    table, output, _ = made
    note = "needs wandb; pip install 'limae-jax[wandb]', see [/job:x] [bold]"
    table.lines[1].name = "env.unit_type_health=[1]"
    with table:
        table.mark(0, "broken", note)
        table.mark(1, "running")
        table.mark(2, "broken", "[/job:x]")
    lines = output.getvalue().splitlines()
    assert lines[:3] == [f"a: broken  {note}", "env.unit_type_health=[1]: running", "c: broken  [/job:x]"]
    assert "[/job:x]" in output.getvalue().partition("env steps")[2]


def test_a_run_of_another_process_is_shown_by_its_rows(made):
    table, _, now = made
    with table:
        console = CellConsole(table, 0)
        console.read([])
        assert (table.lines[0].state, table.lines[0].missing) == ("running", 2000)
        console.read([row(0, 400, 0.1), row(1, 300, 0.2)])
        now[0] += 10.0
        console.read([row(0, 400, 0.1), row(1, 300, 0.2), row(0, 800, 0.5), row(1, 1100, 0.5)])
        assert table.lines[0].missing == 200
        assert table.lines[0].scores == {0: 0.5, 1: 0.5}
        # 1100 steps in 10 s; 200 and twice 2000 are missing.
        assert table.seconds_left() == pytest.approx(4200 / 110)


def test_on_a_terminal_a_long_table_shows_what_runs_and_what_went_wrong():
    output = io.StringIO()
    lines = [Line(f"run{index}", 1, 1000) for index in range(40)]
    with SweepTable(lines, console=Console(file=output, width=80, height=20, force_terminal=True)) as table:
        table.mark(3, "running")
        table.mark(5, "broken", "no game")
        output.truncate(0)
        table.mark(7, "done")
        shown = output.getvalue()
    assert "run3" in shown and "run5" in shown and "no game" in shown
    assert "run7" not in shown and "run39" not in shown
    assert "1 done, 1 running, 37 to come, 1 broken" in shown
    assert "run39" in output.getvalue()
