"""The table of a sweep: states, scores, the time left."""

import io

import pytest
from rich.console import Console
from widths import WIDTHS, cut, terminal

from limae_jax.metrics.console import Standing
from limae_jax.metrics.waiting import Compiling, TimeLeft
from limae_jax.sweeps.ranking import best_cells
from limae_jax.sweeps.table import CellConsole, Line, SweepTable
from limae_jax.sweeps.time_left import SweepClock


@pytest.fixture
def made():
    """A table of three runs of two seeds, each with a program of its own, its output, and a clock to set."""
    output, now = io.StringIO(), [100.0]
    lines = [Line(name, 2, 1000, program) for program, name in enumerate("abc")]
    table = SweepTable(lines, console=Console(file=output, width=100), clock=lambda: now[0])
    return table, output, now


def row(seed, env_steps=0, win=None):
    return {"seed": seed, "env_steps": env_steps, "test_win_rate": win, "test_return_mean": -1.5}


def at(env_steps: int, missing: float, left: TimeLeft | None) -> Standing:
    return Standing("train", env_steps, 50.0, missing, left, None)


def test_programs_to_come_are_expected_to_cost_what_those_before_did(made):
    table, _, now = made
    with table:
        table.mark(0, "done")  # before this command
        console = CellConsole(table, 1)
        console.start(["title"])
        console.compiling(Compiling("train", None, 0.0))
        now[0] += 30.0
        console.compiled()
        assert table.seconds_left() is None and table.counts() == "1 done, 1 running, 1 to come"
        now[0] += 10.0
        console.update(at(500, 1000, TimeLeft(60.0, 20.0)), None)
        # 100 s in all, 50 of them compiling; the next one costs the same.
        assert table.seconds_left() == pytest.approx(60 + 100)
        assert table.counts() == "1 done, 1 running, 1 to come; about 2:40 left"
        now[0] += 5.0
        assert table.seconds_left() == pytest.approx(55 + 100)
        now[0] += 75.0
        table.mark(1, "failed", "seed 1")
        # It took 120 s, and what it compiled was measured.
        assert table.seconds_left() == pytest.approx(120)
        CellConsole(table, 2).start(["title"])
        now[0] += 20.0
        assert table.seconds_left() == pytest.approx(100)
        table.mark(2, "broken", "no game")
        assert table.counts() == "1 done, 1 failed, 1 broken"


def test_runs_of_one_program_are_waited_for_once(made):
    table, _, _ = made
    table.lines[1].program = 0
    with table:
        for index in range(2):
            CellConsole(table, index).start(["title"])
        for index in range(2):
            CellConsole(table, index).update(at(500, 1000, TimeLeft(40.0, 0.0)), None)
        # 4000 steps in 40 s; 2000 are to come.
        assert table.seconds_left() == pytest.approx(40 + 20)


def test_the_most_similar_programs_tell_how_long_the_next_one_takes():
    now = [0.0]
    clock = SweepClock(lambda: now[0])
    for program, (kind, seconds) in enumerate([(("qmix", "3m"), 10.0), (("qmix", "8m"), 30.0), (("ma2e", "3m"), 50.0)]):
        clock.begin(program, kind, 1000)
        now[0] += seconds
        clock.told(program, TimeLeft(0.0, 0.0))
    for kind, seconds in [
        (("qmix", "8m"), 60.0),
        (("qmix", "5m"), 40.0),
        (("ma2e", "8m"), 100.0),
        (("vdn", "8m"), 60.0),
    ]:
        assert clock.left(9, kind, 2000) == pytest.approx(seconds)


def test_the_end_shows_the_best_first(made):
    table, output, _ = made
    for line, name, score in zip(table.lines, ("x=1", "x=2", "x=3"), (0.25, 0.75, None), strict=True):
        line.name = f"{name}/seeds_0_to_1"
        if score is not None:
            line.add_scores([row(0, win=score), row(1, win=score)])
    table.last_words.append("compare them: ...")
    with table:
        pass
    lines = [line.split() for line in output.getvalue().splitlines()]
    assert [line[0] for line in lines[1:4]] == ["x=2/seeds_0_to_1", "x=1/seeds_0_to_1", "x=3/seeds_0_to_1"]
    assert output.getvalue().splitlines()[4:] == [
        "best: x=2, 0.75 [0.75 to 0.75]",
        "3 to come",
        "compare them: ...",
    ]


def test_scores_of_several_maps_are_not_compared(made):
    table, output, _ = made
    for line, scenario, score in zip(table.lines, ("3m", "8m", "3m"), (0.25, 0.1, 0.75), strict=True):
        line.scenario = scenario
        line.add_scores([row(0, win=score)])
    with table:
        pass
    words = [line.split() for line in output.getvalue().splitlines()]
    assert [line[0] for line in words] == ["3m", "run", "c", "a", "8m", "run", "b", "best", "3"]
    assert "best on 3m: c, 0.75" in output.getvalue()


def test_seeds_of_a_cell_count_together():
    runs = [Line("x=1/seeds_0_to_1", 2, 10), Line("x=1/seeds_2_to_2", 1, 10), Line("x=2/seeds_0_to_0", 1, 10)]
    for run, scores in zip(runs, ({0: 0.9, 1: 0.9}, {2: 0.0}, {0: 0.7}), strict=True):
        run.scores = scores
    assert best_cells(runs) == ["best: x=2, 0.70"]
    assert best_cells(runs[:2]) == []
    runs.append(Line("x=3/seeds_0_to_0", 1, 10, scores={0: 0.7}))
    assert best_cells(runs) == ["best: x=2, 0.70; equally good: x=3"]
    assert best_cells(runs[2:]) == []


LONG = "system.learning_rate=0.0005,env.unit_type_health=[45,125,160,150,35,80]/seeds_0_to_2"


@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_cuts_a_name_or_a_number(width):
    console, output = terminal(width)
    lines = [Line(LONG, 3, 1_000_000, note="RuntimeError: no such game"), Line("b", 1, 2_000_000, state="broken")]
    for line in lines:
        line.env_steps = 123_456
        line.add_scores([row(seed, win=0.5 + seed / 8) for seed in range(line.num_seeds)])
    table = SweepTable(lines, console=console)
    with table:
        pass
    words = [LONG, "123,456/1,000,000", "123,456/2,000,000", "0.62", "[0.50", "0.75]", "RuntimeError:", "broken", "b"]
    # The line of the best one is as long as it is: it can be copied.
    shown = output.getvalue().partition("best: ")[0]
    assert cut(shown, width, words) == []


def test_elsewhere_than_on_a_terminal_each_change_is_a_line_and_the_table_comes_last(made):
    table, output, _ = made
    with table:
        console = CellConsole(table, 0)
        console.start(["title"])
        console.evaluation([row(0, win=0.25), row(1, win=0.75)])
        console.note("not shown")
        console.summary([row(0, win=0.5), row(1, win=0.75)], [], "dir", 1.0, 0.0)
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
        table.mark(7, "done")
        output.truncate(0)
        table._live.refresh()
        shown = output.getvalue()
    assert "run3" in shown and "run5" in shown and "no game" in shown
    assert "run7" not in shown and "run39" not in shown
    assert "1 done, 1 running, 37 to come, 1 broken" in shown
    assert "run39" in output.getvalue()
