"""The report of runs with known answers: its tables, its pictures, its page in a browser."""

import csv
import html
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from doubles.toy_runs import write_run
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats

from limae_jax.analysis.pictures import MOST_LINES, Look
from limae_jax.analysis.plots import all_pictures
from limae_jax.analysis.report import PAGE, write_report
from limae_jax.analysis.runs import read_study
from limae_jax.analysis.summary import Outcomes
from limae_jax.analysis.tables import csv_text, markdown_text, text_tables
from limae_jax.cli.main import main

pytestmark = pytest.mark.slow

QMIX = [[0.0, 0.4, 0.5, 0.8], [0.2, 0.6, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4]]
MEAN_TD = [[0.6, 0.8, 0.9, 1.0], [0.4, 0.8, 0.5, 0.8], [0.5, 0.5, 0.7, 0.9]]
RANDOM = [[0.0, 0.1, 0.4, 0.7], [0.0, 0.3, 0.6, 0.7], [0.0, 0.0, 0.0, 0.0]]
GUESSED = {"test_r2": [[-30.0, 0.1, 0.2, 0.4], [-9.0, 0.1, 0.2, 0.5], [-6.0, 0.1, 0.2, 0.3]]}
HIDDEN = {"mae/hidden_0": [[0.2] * 4] * 3, "mae/hidden_1": [[0.6, 0.6, 0.5, 0.4]] * 3}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The folder of a report on three methods and two maps, one of which is not played by all."""
    folder = tmp_path_factory.mktemp("toys")
    runs = [
        write_run(folder / "mean_td", MEAN_TD, "system.name=li_ma2e", **HIDDEN, **GUESSED),
        write_run(folder / "random", RANDOM, "system.name=ma2e", **HIDDEN),
        write_run(
            folder / "qmix", QMIX, "system.name=qmix", wall_s=[[10, 20, 30, 40], [12, 22, 32, 42], [9, 18, 27, 36]]
        ),
        write_run(folder / "8m", QMIX, "system.name=qmix", "env.scenario=8m"),
        write_run(folder / "8m_oracle", MEAN_TD[:1], "system.name=oracle", "env.scenario=8m"),
    ]
    write_report(runs, folder / "out")
    return folder / "out"


def table(report, name: str, **where: str) -> list[dict[str, str]]:
    with (report / f"{name}.csv").open() as file:
        return [row for row in csv.DictReader(file) if all(row[key] == value for key, value in where.items())]


def test_curves_are_the_means_of_three_seeds(report):
    rows = table(report, "curves", map="3m", method="qmix", metric="test_win_rate")
    assert [row["env_steps"] for row in rows] == ["100", "200", "300", "400"]
    assert [float(row["mean"]) for row in rows] == pytest.approx(np.mean(QMIX, axis=0))
    lows, highs = (np.array([float(row[f"mean_{end}"]) for row in rows]) for end in ("low", "high"))
    half = stats.t.ppf(0.975, 2) * stats.sem(QMIX)
    assert lows == pytest.approx(np.maximum(np.mean(QMIX, axis=0) - half, 0))
    assert highs == pytest.approx(np.minimum(np.mean(QMIX, axis=0) + half, 1))
    deaths = table(report, "curves", map="3m", method="qmix", metric="test_ally_deaths_mean")
    assert [float(row["mean"]) for row in deaths] == pytest.approx(3 - np.mean(QMIX, axis=0))


def test_steps_that_were_never_made_are_censored(report):
    seeds = table(report, "seeds", map="3m", method="qmix")
    # Windows of three evaluations: (0.4 + 0.5 + 0.8) / 3, (0.2 + 0.6 + 0.7) / 3 and (0.2 + 0.3 + 0.4) / 3.
    assert [row["steps_to_50%"] for row in seeds] == ["400.0", "300.0", ""]
    assert [row["steps_to_80%"] for row in seeds] == ["", "", ""]
    assert [row["seconds_to_50%"] for row in seeds] == ["40.0", "32.0", ""]
    (row,) = table(report, "methods", map="3m", method="qmix")
    assert (row["reached_50%"], row["median_steps_to_50%"]) == ("2", "400.0")
    assert (row["reached_80%"], row["median_steps_to_80%"]) == ("0", "")
    assert row["median_seconds_to_50%"] == "40.0"
    text = (report / "report.md").read_text(encoding="utf-8")
    assert "| 3m | qmix | 400 (2 of 3) | not reached (0 of 3) | not reached (0 of 3) |" in text
    assert "| 3m | qmix | 40 (2 of 3) | not reached (0 of 3) | not reached (0 of 3) |" in text


def test_outcomes_of_a_seed(report):
    row = table(report, "seeds", map="3m", method="qmix", seed="1")[0]
    assert float(row["final_win_rate"]) == 0.6 and float(row["final_return"]) == pytest.approx(1.2)
    # Windows (0.2 + 0.6 + 0.7) / 3 and (0.6 + 0.7 + 0.6) / 3.
    assert float(row["best_window_win_rate"]) == pytest.approx(1.9 / 3)
    # 100 steps each at 0.2, and on the way to 0.6, 0.7 and 0.6.
    assert float(row["mean_win_rate"]) == pytest.approx((0.2 + 0.4 + 0.65 + 0.65) / 4)


def test_methods_are_compared_with_qmix(report):
    (row,) = table(report, "comparisons", map="3m", method="li_ma2e (mean_td)", baseline="qmix")
    # 1.0, 0.8 and 0.9 against 0.8, 0.6 and 0.4: all pairs but the tie.
    assert float(row["probability_of_improvement"]) == pytest.approx(8.5 / 9)
    # 300 steps each against 400, 300 and the budget of 400, for one of QMIX's seeds never got there.
    ratio = (400 * 300 * 400) ** (1 / 3) / 300
    assert float(row["speed_up_to_50%"]) == pytest.approx(ratio) and row["speed_up_to_50%_is"] == "at least"
    assert float(row["speed_up_to_50%_low"]) < ratio < float(row["speed_up_to_50%_high"])
    finals = [float(row[f"final_win_rate_difference{end}"]) for end in ("", "_low", "_high")]
    interval = stats.ttest_ind([1.0, 0.8, 0.9], [0.8, 0.6, 0.4], equal_var=False).confidence_interval()
    assert finals == pytest.approx([0.3, *interval])
    # The areas of LI-MA2E are the highest three of six.
    assert float(row["mean_win_rate_p"]) == pytest.approx(0.1)


def test_numbers_that_say_nothing_are_not_shown(tmp_path):
    # Of both methods a seed never had 80 %; 50 % was reached by all at once, and each seed of VDN beats each of QMIX.
    runs = [
        write_run(tmp_path / "qmix", [[0.5, 0.8], [0.5, 0.6]], "system.name=qmix"),
        write_run(tmp_path / "vdn", [[0.5, 0.9], [0.7, 0.7], [0.5, 0.9]], "system.name=vdn"),
    ]
    better = write_run(tmp_path / "iql", [[0.6, 0.9], [0.6, 0.95]], "system.name=iql")
    write_report([runs[0], better], tmp_path / "a")
    text = (tmp_path / "a" / "report.md").read_text(encoding="utf-8")
    assert re.search(r"^\| 3m \| iql \| .* \| 0\.33 \| 1\.00 \| 1\.00 \| censored \|", text, re.M)
    write_report(runs, tmp_path / "b")
    text = (tmp_path / "b" / "report.md").read_text(encoding="utf-8")
    assert re.search(r"^\| 3m \| vdn \| .* \| 0\.83 \| 1\.00 \| censored \|", text, re.M)


def test_a_last_row_without_a_win_rate_does_not_count(tmp_path):
    run = write_run(tmp_path / "a", [[0.5, 0.8, None], [0.5, 0.6, 0.7]])
    first, second = Outcomes(read_study([run])).seeds
    assert (first["final_win_rate"], second["final_win_rate"]) == (0.8, 0.7)
    assert (first["best_window_win_rate"], first["steps_to_50%"]) == (pytest.approx(0.65), 200.0)
    # 0.5 until step 100, on the way to 0.8 until 200, which holds to the end.
    assert first["mean_win_rate"] == pytest.approx((0.5 + 0.65 + 0.8) / 3)


def test_only_shared_maps_are_averaged(report):
    # No map was played by all four methods.
    assert not (report / "aggregate.csv").exists()
    page = (report / PAGE).read_text(encoding="utf-8")
    assert "Over maps: no map had all methods." in page
    assert "oracle (not decentralised)" in page and "Not decentralised: agents read" in page


def test_aggregate_over_maps(tmp_path):
    runs = [
        write_run(tmp_path / f"{system}_{name}", wins, f"system.name={system}", f"env.scenario={name}")
        for system, wins in (("qmix", QMIX), ("vdn", MEAN_TD))
        for name in ("3m", "8m")
    ]
    outcomes = Outcomes(read_study(runs))
    qmix, vdn = outcomes.aggregate
    # Of six finals the lowest and the highest are left out.
    assert qmix["final_win_rate"] == pytest.approx((0.4 + 0.6 + 0.6 + 0.8) / 4)
    assert (qmix["probability_of_improvement"], vdn["seeds"], vdn["maps"]) == (None, 6, 2)
    assert vdn["probability_of_improvement"] == pytest.approx(8.5 / 9)
    above = {row["win_rate_above"]: row["share_of_seeds"] for row in outcomes.profiles if row["method"] == "qmix"}
    assert (above[0.5], above[0.6]) == pytest.approx((4 / 6, 2 / 6))
    curve = [row for row in outcomes.aggregate_curves if row["method"] == "qmix"]
    assert curve[0]["share"] == 0.25 and curve[-1]["iqm"] == pytest.approx(0.6)
    pictures = list(all_pictures(outcomes, Look(outcomes.study.methods)))
    assert [picture.name for picture in pictures][:2] == ["aggregate", "win_rates"]
    assert text_tables(outcomes)[0].title == "Over all shared maps"


def test_how_often_agents_were_hidden(report):
    rows = table(report, "hidden", method="li_ma2e (mean_td)", agent="1")
    assert [float(row["mean"]) for row in rows] == pytest.approx([0.6, 0.6, 0.5, 0.4])
    assert table(report, "hidden", method="qmix") == []


def test_how_well_agents_guess(report):
    assert [row["final_r2"] for row in table(report, "seeds", map="3m", method="li_ma2e (mean_td)")] == [
        "0.4",
        "0.5",
        "0.3",
    ]
    rows = table(report, "curves", method="li_ma2e (mean_td)", metric="test_r2")
    assert [float(row["mean"]) for row in rows] == pytest.approx([-15, 0.1, 0.2, 0.4])
    # Who guesses nothing has no such curve, and is there all the same.
    assert table(report, "curves", method="qmix", metric="test_r2") == []
    assert [row["final_r2"] for row in table(report, "seeds", map="3m", method="qmix")] == [""] * 3


def test_each_picture_is_there_twice_and_on_the_page(report):
    names = {path.stem for path in report.glob("*.png")}
    maps = {f"{kind}_{name}" for kind in ("curves", "steps") for name in ("3m", "8m")}
    assert names == {path.stem for path in report.glob("*.svg")} == maps | {"masking_rules", "hidden_3m", "win_rates"}
    for name in names:
        # More than one colour.
        with Image.open(report / f"{name}.png") as picture:
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10
        ET.parse(report / f"{name}.svg")
    page = (report / PAGE).read_text(encoding="utf-8")
    panels = re.findall(r'<img alt="([^"]*)" src="data:image/svg\+xml,([^"]*)"', page)
    assert len(panels) == page.count("<img ") > len(names)
    for _, svg in panels:
        ET.fromstring(unquote(svg))
    assert not re.search(r"""(src|href)=["'](?!data:|#|%23)""", page)


def test_what_is_not_won_or_lost_has_curves_only(tmp_path):
    run = write_run(tmp_path / "mpe", [[None, None]], "env.name=mpe", "env.scenario=simple_spread")
    write_report([run], tmp_path / "out")
    assert {path.stem for path in (tmp_path / "out").glob("*.png")} == {"curves_simple_spread"}
    page = (tmp_path / "out" / PAGE).read_text(encoding="utf-8")
    panels = re.findall(r'<img alt="([^"]*)"', page)
    assert "return" in panels and not {"win rate", "R² of the guesses about team-mates"} & set(panels)
    # What is looked at first.
    assert re.findall("<h2>(.*?)</h2>", page)[0] == "Returns"
    assert "## Seeds" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_curves_end_with_the_last_evaluation(tmp_path):
    """Each seed is evaluated a last time behind the budget; curves went on to the budget only, between two values."""
    systems = {"qmix": QMIX, "vdn": MEAN_TD}
    runs = [
        write_run(
            tmp_path / f"{name}_{map_name}", wins, f"system.name={name}", f"env.scenario={map_name}", overshoot=30
        )
        for name, wins in systems.items()
        for map_name in ("3m", "8m")
    ]
    write_report(runs, tmp_path / "out")
    for name, wins in systems.items():
        last = np.mean([curve[-1] for curve in wins])
        curve = table(tmp_path / "out", "curves", map="3m", method=name, metric="test_win_rate")
        (row,) = table(tmp_path / "out", "methods", map="3m", method=name)
        # Three seeds end 30, 60 and 90 steps behind 400.
        assert curve[-1]["env_steps"] == "490"
        assert float(curve[-1]["mean"]) == pytest.approx(last) == float(row["final_win_rate"])
        over_maps = table(tmp_path / "out", "aggregate_curves", method=name)
        (total,) = table(tmp_path / "out", "aggregate", method=name)
        assert float(over_maps[-1]["iqm"]) == pytest.approx(float(total["final_win_rate"]))


@pytest.mark.parametrize("count", [MOST_LINES, MOST_LINES + 1, 20])
def test_a_panel_has_few_lines(tmp_path, count):
    rates = [f"system.learning_rate={index + 1}e-3" for index in range(count)]
    runs = [
        write_run(tmp_path / str(index), [[0.0, (index + 1) / 32]], "system.name=qmix", rate)
        for index, rate in enumerate(rates)
    ]
    outcomes = Outcomes(read_study(runs))
    (curves, *_) = all_pictures(outcomes, Look(outcomes.study.methods))
    wins = [panel for panel in curves.panels if panel.title.startswith("win rate")]
    assert len(wins) == {6: 1, 7: 2, 20: 3}[count]
    for panel in curves.panels:
        axis = Figure().subplots()
        panel.draw(axis)
        assert 1 < len(axis.lines) <= MOST_LINES
    # The baseline and the best, and the caption says so.
    assert (
        list(curves.legend)[:2] == ["qmix (learning_rate=0.001)", f"qmix (learning_rate={count / 1000})"] or count == 6
    )
    assert ("Each panel has" in curves.caption, "16 of 20 methods" in curves.caption) == (count > 6, count == 20)


@pytest.mark.parametrize("agents", [3, 8])
def test_many_hidden_agents_are_a_band(tmp_path, agents):
    more = {f"mae/hidden_{agent}": [[0.1 * agent] * 2] for agent in range(agents)}
    outcomes = Outcomes(read_study([write_run(tmp_path / "a", [[0.1, 0.2]], "system.name=li_ma2e", **more)]))
    (picture,) = (one for one in all_pictures(outcomes, Look(outcomes.study.methods)) if one.name == "hidden_3m")
    axis = Figure().subplots()
    picture.panels[0].draw(axis)
    assert (len(axis.lines), len(axis.collections)) == ((3, 0) if agents == 3 else (1, 1))


HOSTILE = [
    "<script>alert(1)</script>",
    "a|b`c`",
    "![x](http://x.y/z.png)",
    "=cmd|' /C calc'!A0",
    "a\x1b[2J\nb",
    "*b* _c_ $d$ ~~e~~",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_was_read_is_text_everywhere(tmp_path, text, capsys):
    # Versions are whatever stands in a file that somebody sent.
    runs = [
        write_run(tmp_path / "a", QMIX, "system.name=qmix"),
        write_run(tmp_path / "b", QMIX, "system.name=vdn", versions={"device": text, "git_commit": f"{text} "}),
    ]
    assert main(["report", *map(str, runs), "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    page, markdown = ((tmp_path / "out" / name).read_text(encoding="utf-8") for name in (PAGE, "report.md"))
    for shown in (told, page, markdown):
        assert "\x1b" not in shown
    assert "<script>" not in page and "<script>" not in re.sub(r"\\.", "", markdown)
    notes = [line for line in markdown.splitlines() if line.startswith("> ")]
    assert len(notes) == 2
    for note in notes:
        plain = re.sub(r"\\.", "", note)
        assert not re.search(r"[`*<|$~]|\]\(|\b_\w|://", plain[2:]), plain


def test_cells_of_csv_are_no_formulas():
    rows = [{"run": text, "number": number} for text, number in zip(HOSTILE, (-1.5, 2, None, 0, -3, 1.0), strict=True)]
    rows += [{"run": sign + "1+1", "number": 1} for sign in "=+-@"]
    read = list(csv.DictReader(csv_text(rows).splitlines()))
    assert len(read) == len(rows) and not any(row["run"].startswith(("=", "+", "-", "@")) for row in read)
    assert [row["number"] for row in read][:3] == ["-1.5", "2", ""]
    assert read[4]["run"] == "a\\x1b[2J\\nb"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("li_ma2e (mean_td) 0.80 [0.75, 0.84] -1.5", "li_ma2e (mean_td) 0.80 [0.75, 0.84] -1.5"),
        ("# a", "\\# a"),
        ("_a_ *b* | `c` <d>", r"\_a\_ \*b\* \| \`c\` \<d\>"),
        ("[a](b) ![c][d]", r"[a\](b) ![c\][d]"),
        ("a\nb\tc", r"a\\nb\\tc"),
    ],
)
def test_markdown_text(text, shown):
    assert markdown_text(text) == shown


def test_an_ascii_locale_writes_the_same(tmp_path):
    run = write_run(tmp_path / "run", QMIX, "system.name=li_ma2e", **GUESSED)
    plain = {
        name: value for name, value in os.environ.items() if name not in ("LANG", "PYTHONUTF8", "PYTHONIOENCODING")
    }
    ascii_only = plain | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "limae_jax", "report", str(run), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env=ascii_only, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "R²" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_maps_that_differ_in_lists_have_files(tmp_path):
    healths = ("[45,125,160,150,35,80]", f"[60,{','.join(['125'] * 5)}]")
    runs = [
        write_run(
            tmp_path / str(index),
            QMIX,
            "system.name=qmix",
            *(f"env.unit_type_{name}={health}" for name in ("health", "attacks", "attack_ranges", "sight_ranges")),
        )
        for index, health in enumerate(healths)
    ]
    write_report(runs, tmp_path / "out")
    files = [path.name for path in (tmp_path / "out").glob("curves_*.png")]
    assert len(files) == 2 and max(map(len, files)) < 80


def test_marl_eval_file(report):
    content = json.loads((report / "marl_eval.json").read_text(encoding="utf-8"))
    assert list(content) == ["smax"] and set(content["smax"]) == {"3m", "8m"}
    assert set(content["smax"]["3m"]) == {"qmix", "li_ma2e (mean_td)", "ma2e (random)"}
    run = content["smax"]["3m"]["qmix"]["seed_1"]
    assert list(run) == ["step_0", "step_1", "step_2", "step_3", "absolute_metrics"]
    assert run["step_1"]["step_count"] == 200
    assert [run[f"step_{step}"]["win_rate"] for step in range(4)] == [[0.2], [0.6], [0.7], [0.6]]
    # The last evaluation, for the best policy was not played again; all methods have the same metrics.
    last = {name: value for name, value in run["step_3"].items() if name != "step_count"}
    assert run["absolute_metrics"] == last and last["return"] == [pytest.approx(1.2)]
    metrics = {frozenset(run["absolute_metrics"]) for runs in content["smax"]["3m"].values() for run in runs.values()}
    assert len(metrics) == 1 and "r2" not in next(iter(metrics))


def test_command(tmp_path, capsys):
    run = write_run(tmp_path / "run", [[0.0, 0.5], [0.5, 0.5]])
    (tmp_path / "file").write_text("")
    assert main(["report", str(run), "--out", str(tmp_path / "file")]) == 2
    assert "cannot write there" in capsys.readouterr().err
    assert main(["report", str(run), str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert f"RUN_DIR={tmp_path / 'nowhere'}: no such directory" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_sweep_stands_for_its_runs(tmp_path):
    write_run(tmp_path / "sweep" / "system=qmix" / "seeds_0_to_2", QMIX, "system.name=qmix")
    write_run(tmp_path / "sweep" / "system=vdn" / "seeds_0_to_2", RANDOM, "system.name=vdn")
    single = write_run(tmp_path / "iql", RANDOM, "system.name=iql")
    assert main(["report", str(tmp_path / "sweep"), str(single), "--out", str(tmp_path / "out")]) == 0
    assert {row["method"] for row in table(tmp_path / "out", "seeds")} == {"qmix", "vdn", "iql"}
    cell = tmp_path / "sweep" / "system=qmix"
    assert main(["report", str(cell), str(single), "--out", str(tmp_path / "part")]) == 0
    assert {row["method"] for row in table(tmp_path / "part", "seeds")} == {"qmix", "iql"}


LOOK = """<img src="data:image/png;base64,broken" alt="broken"><pre id="seen"></pre><script>
addEventListener("load", () => {
  const images = [...document.images].map(image => {
    const box = image.getBoundingClientRect();
    return [image.alt, image.complete && image.naturalWidth, box.width, box.height, box.right <= innerWidth];
  });
  const links = [...document.querySelectorAll("nav a")].map(link => {
    link.click();
    const goal = document.querySelector(link.hash);
    return [link.textContent, goal ? goal.querySelector("h2").textContent : null];
  });
  const outside = [...document.querySelectorAll("body *")]
    .filter(one => !one.closest(".scroll table") && !one.closest("#seen"))
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 80));
  const page = document.documentElement;
  const keys = [...document.querySelectorAll(".legend i")].map(key => getComputedStyle(key).backgroundImage.length);
  const seen = {images, links, outside, keys, width: innerWidth, scroll: page.scrollWidth, moved: page.scrollTop};
  document.getElementById("seen").textContent = JSON.stringify(seen);
  top.document.getElementById("seen").textContent = document.getElementById("seen").textContent;
});
</script></body>"""


def look_at(page: str, browser: str, folder: Path, width: int) -> dict:
    """What a browser makes of a page in a window of a width; the page is a frame, for windows are not that narrow."""
    # The page forbids itself scripts; the one that looks at it is let in.
    watched = page.replace("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';")
    (folder / "page.html").write_text(watched.replace("</body>", LOOK), encoding="utf-8")
    frame = f'<pre id="seen"></pre><iframe src="page.html" style="width:{width}px;height:900px;border:0"></iframe>'
    (folder / "frame.html").write_text(frame, encoding="utf-8")
    switches = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-quic "
    switches += "--disable-component-update --disable-sync --enable-logging=stderr --window-size=1400,1000 --dump-dom "
    # Of two files one may look into the other.
    switches += "--allow-file-access-from-files --disable-web-security"
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [browser, *switches.split(), profile, (folder / "frame.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in shown.stderr
    return json.loads(html.unescape(re.search(r'<pre id="seen">(.*?)</pre>', shown.stdout, re.DOTALL)[1]))


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_page_opens_in_a_browser(report, browser, tmp_path, width):
    page = (report / PAGE).read_text(encoding="utf-8")
    seen = look_at(page, browser, tmp_path, width)
    *pictures, broken = seen["images"]
    assert broken[1] == 0
    assert len(pictures) == page.count("<img ")
    for _, natural_width, shown_width, height, is_within in pictures:
        assert natural_width > 200 and shown_width > 200 and height > 100 and is_within
    # Nothing has to be moved sideways but the tables, each in a box of its own.
    assert seen["width"] == width >= seen["scroll"] and seen["outside"] == []
    assert len(seen["links"]) > 5 and all(link == goal for link, goal in seen["links"]) and seen["moved"] > 0
    assert seen["keys"] and min(seen["keys"]) > 100
