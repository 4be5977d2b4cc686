"""Text of messages: printable and short, whatever was given."""

import pwd
from pathlib import Path

import pytest

from limae_jax.checks import one_line, printable, shorten, user_path
from limae_jax.cli.main import main
from limae_jax.config import RunConfig, TrainConfig
from limae_jax.config.compose import load_config
from limae_jax.config.sweep import SweepConfig
from limae_jax.config.text import to_yaml
from limae_jax.errors import InputError
from limae_jax.evaluation.evaluate import evaluate_run
from limae_jax.evaluation.policy import load_policy
from limae_jax.evaluation.starcraft2 import evaluate_in_smac
from limae_jax.runs.stored import read_run
from limae_jax.sweeps.grid import load_sweep
from limae_jax.training.runner import resume


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("bell\a", "bell\\x07"),
        ("lone \udc80", "lone \\udc80"),
        ("next\x85line", "next\\x85line"),
        ("right to left \u202e", "right to left \\u202e"),
        ("Ünïcode 名", "Ünïcode 名"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, shown):
    assert printable(text) == shown
    printable(text).encode()


def test_one_line_keeps_spaces_and_loses_line_breaks():
    assert one_line("a\n  b\tc\x1b") == "a b c\\x1b"


def test_a_long_text_keeps_both_ends():
    text = shorten("begin" + "x" * 500 + "end", 100)
    assert len(text) == 100
    assert text.startswith("begin") and text.endswith("end") and " ... " in text
    assert shorten("x" * 100, 100) == "x" * 100


def test_a_tilde_is_a_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("run.dir", "~/runs/x") == f"{tmp_path}/runs/x"
    assert user_path("run.dir", Path("~")) == str(tmp_path)
    assert user_path("run.dir", "~root/x") == f"{pwd.getpwnam('root').pw_dir}/x"
    for path in ("./~/x", "a/~", "x", "a//b/./c"):
        assert user_path("run.dir", path) == path
    assert RunConfig(dir="~/x").dir == SweepConfig(dir="~/x").dir == f"{tmp_path}/x"
    assert RunConfig(name="~").name == "~"
    assert load_config(["run.dir=~/runs/x"]).run_dir == f"{tmp_path}/runs/x"
    assert load_sweep(["sweep.dir=~/a b", "system=qmix,vdn"]).settings.dir == f"{tmp_path}/a b"


@pytest.mark.parametrize(
    "path", ["~nobody_of_this_name/x", "~\x00", "a\x00b", "\ud800", "a" * 256, "a/" * 2000, "loop", "loop/x"]
)
def test_what_no_path_can_be_is_refused(monkeypatch, tmp_path, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    for use in (lambda: RunConfig(dir=path), lambda: read_run(Path(path)), lambda: SweepConfig(dir=path)):
        with pytest.raises(InputError, match=r"^(run.dir|RUN_DIR|sweep.dir)=") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_without_a_home_a_tilde_is_refused(monkeypatch):
    def no_entry(*args):
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    with pytest.raises(InputError, match=r"run.dir=~/x: there is no such home; write the path in full"):
        RunConfig(dir="~/x")


def test_every_way_in_takes_a_tilde(monkeypatch, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(to_yaml(TrainConfig()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "run")
    nowhere = f"RUN_DIR={tmp_path}/nowhere: no such directory"
    for way in (load_policy, resume, evaluate_run, lambda path: list(evaluate_in_smac([path], ["env=smac"]))):
        with pytest.raises(InputError, match=nowhere):
            way("~/nowhere")
    for command in (["resume"], ["evaluate"], ["render"], ["report", "--out", "~/out"]):
        assert main([*command, "~/nowhere"]) == 2
        assert nowhere in capsys.readouterr().err
    assert main(["render", "~/run", "--out", "~/no/x.gif"]) == 2
    assert f"there is no folder {tmp_path}/no\n" in capsys.readouterr().err
    assert main(["report", "~/run", "--out", "~/out"]) == 2  # it has no results
    # Libraries that are imported for the first time may make a folder of their own, such as .cache.
    made = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert made == [tmp_path / "run"]
    assert [path.name for path in made[0].iterdir()] == ["config.yaml"]
