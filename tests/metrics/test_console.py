import io
import re

import pytest
from doubles.rows import row
from rich.console import Console
from widths import WIDTHS, cut, terminal

from limae_jax.metrics.console import ConsoleReport, Standing
from limae_jax.metrics.waiting import Compiling, Countdown, TimeLeft, format_seconds

DETAILS = {"test_length_mean": 30.25, "test_ally_deaths_mean": 1.5, "test_enemy_deaths_mean": 2.75}


def _report(width: int = 120, is_terminal: bool = False, **arguments) -> tuple[ConsoleReport, io.StringIO]:
    shown = io.StringIO()
    console = Console(file=shown, width=width, force_terminal=is_terminal, highlight=False, _environ={})
    return ConsoleReport(200_000, (0, 1), console=console, **arguments), shown


LEFT = TimeLeft(21.0, 0.0)


def at(env_steps: int, left: TimeLeft | None = LEFT) -> Standing:
    return Standing("train", env_steps, 5812.4, 0.0, left, 0.0123)


def _frames(shown: io.StringIO) -> list[str]:
    """The texts that a terminal was given, without control codes, each overwriting the last."""
    return [text for text in re.split(r"(?:\x1b\[[0-9;?]*[A-Za-z]|[\r\n])+", shown.getvalue()) if text]


def test_plain_output_has_one_line_an_evaluation():
    report, shown = _report(width=40)
    report.start(["qmix on 3m", "runs/a_[b]"])
    for env_steps in (1000, 2000, 123_456):
        report.update(at(env_steps), None)
    report.evaluation([row(0, win_rate=0.41), row(1, win_rate=0.66)])
    report.close()
    assert shown.getvalue().splitlines() == [
        "qmix on 3m",
        "runs/a_[b]",
        "train  123,456/200,000 steps  5,812/s  eta 0:21  win 0.54 [0.41-0.66]  loss 0.0123",
    ]


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (120, "train  123,456/200,000 steps  5,812/s  eta 0:21  win 0.54 [0.41-0.66]  loss 0.0123"),
        (80, "train  123,456/200,000  5,812/s  eta 0:21  win 0.54 [0.41-0.66]  loss 0.0123"),
        (72, "train  123k/200k  5.8k/s  eta 0:21  win 0.54 [0.41-0.66]  loss 0.0123"),
        (60, "train  123k/200k  5.8k/s  eta 0:21  win 0.54 [0.41-0.66]"),
    ],
)
def test_the_live_line_fits_the_terminal(width, line):
    report, shown = _report(width, is_terminal=True)
    report.start(["qmix on 3m"])
    report.update(at(123_456), [0.41, 0.66])
    report.close()
    assert "".join(_frames(shown)).endswith(line)
    assert "\x1b[?25h" in shown.getvalue()


def test_a_live_line_takes_the_evaluation_and_leaves_no_line_behind():
    report, shown = _report(is_terminal=True)
    report.start(["title"])
    report.update(at(1000, left=None), None)
    report.evaluation([row(0, win_rate=0.25)])
    report.close()
    assert "win 0.25" in shown.getvalue()
    assert shown.getvalue().count("\n") <= 2


def test_returns_where_nothing_is_won():
    report, shown = _report()
    report.start(["title"])
    report.update(at(1000), None)
    report.evaluation([row(0, win_rate=None), row(1, win_rate=None)])
    report.summary([row(0, win_rate=None), row(1, win_rate=None)], [], "runs/x", 61.0, 0.0)
    text = shown.getvalue()
    assert "return 2.00 [1.50-2.50]" in text
    assert "win" not in text


def test_the_table_has_every_seed_and_the_median():
    report, shown = _report(width=80)
    report.start(["title"])
    rows = [row(2, 1000, 0.9, **DETAILS), row(0, 1000, 0.5, **DETAILS), row(1, 1002, 0.6, **DETAILS)]
    report.summary(rows, [], "runs/x", 3723.4, 0.0)
    lines = shown.getvalue().splitlines()[2:]
    assert lines[0].split("  ")[0] == "seed"
    assert lines[0].split()[1:] == "win rate return length ally deaths enemy deaths env steps".split()
    assert [line.split()[0] for line in lines[1:5]] == ["0", "1", "2", "median"]
    assert lines[4].split()[1:] == ["0.60", "2.50", "30.2", "1.50", "2.75", "1,000"]
    assert lines[5] == "greedy, 128 episodes per seed, last checkpoint"
    assert lines[6] == "took 1:02:03; metrics and checkpoints in runs/x"
    assert max(map(len, lines)) <= 80


def test_a_failed_seed_is_named_and_left_out_of_the_median():
    report, shown = _report()
    report.start(["title"])
    report.summary([row(0, win_rate=0.2), row(1, win_rate=0.9)], [1], "runs/x", 1.0, 0.0)
    lines = shown.getvalue().splitlines()
    assert any(line.startswith("1 failed") for line in lines)
    assert next(line for line in lines if line.startswith("median of 1")).split()[3] == "0.20"
    assert any(line.startswith("warning: seed 1 failed") for line in lines)


def test_a_single_seed_needs_no_median_and_no_range():
    report, shown = _report()
    report.start(["title"])
    report.update(at(1000), [0.5])
    report.evaluation([row(0)])
    report.summary([row(0)], [], "runs/x", 1.0, 0.0)
    assert "win 0.50  loss 0.0123" in shown.getvalue()
    assert "median" not in shown.getvalue()


def test_disabled_shows_nothing():
    report, shown = _report(is_terminal=True, enabled=False)
    report.start(["title"])
    report.update(at(1000), [0.5])
    report.evaluation([row(0)])
    report.warning("careful")
    report.note("so it is")
    report.summary([row(0)], [0], "runs/x", 1.0, 0.0)
    report.close()
    assert shown.getvalue() == ""


def test_no_rows_are_no_table():
    report, shown = _report()
    report.summary([], [], "runs/x", 1.0, 0.0)
    assert shown.getvalue() == "took 0:01; metrics and checkpoints in runs/x\n"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (20.6, "0:21"), (725, "12:05"), (11265, "3:07:45")])
def test_durations(seconds, text):
    assert format_seconds(seconds) == text


def test_what_is_compiled_is_said_while_seconds_go_by():
    now = [100.0]
    report, _ = _report(width=60, is_terminal=True)
    report._countdown = Countdown(lambda: now[0])
    report.start(["title"])
    report.update(at(1000, TimeLeft(120.0, 30.0)), None)
    report.compiling(Compiling("train", 25.4, 30.0))
    for seconds, line in [
        (7, "compiling train 0:07 (first time about 25 s)  eta 1:53"),
        (60, "compiling train 1:00 (first time about 25 s)  eta 1:30"),
    ]:
        now[0] = 100.0 + seconds
        assert report._live_line().plain == line
    report.compiled()
    assert report._live_line().plain.startswith("train  1,000/200,000")
    assert "eta 1:30" in report._live_line().plain
    now[0] += 10.0
    assert "eta 1:20" in report._live_line().plain
    report.close()


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        (Compiling("train", 25.0, 25.0), ["compiling train (first time about 25 s)"]),
        (Compiling("train", None, 0.0), ["compiling train"]),
        (Compiling("init", 1.0, 1.0), []),
    ],
)
def test_in_a_log_a_long_compilation_is_a_line(what, lines):
    report, shown = _report()
    report.start(["title"])
    report.compiling(what)
    report.compiled()
    assert shown.getvalue().splitlines() == ["title", *lines]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_cuts_a_number_of_the_last_table(width):
    console, shown = terminal(width)
    report = ConsoleReport(1_000_000_000, (0, 1), console=console)
    rows = [row(seed, 1_000_000_000 + seed, 0.25 + seed / 10, **DETAILS) for seed in range(3)]
    report.summary(rows, [2], "runs/x", 3723.4, 23.0)
    words = ["1,000,000,000", "1,000,000,002", "0.25", "0.45", "2.75", "30.2", "1:02:03", "0:23", "runs/x", "deaths"]
    assert cut(shown.getvalue(), width, words) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_live_line_is_cut_at_no_width(width):
    console, _ = terminal(width)
    report = ConsoleReport(1_000_000_000, (0, 1), console=console)
    report.start(["title"])
    report.update(at(123_456_789), [0.41, 0.66])
    line = report._live_line().plain
    report.close()
    assert len(line) <= width and line.startswith("train  123") and "eta 0:2" in line
