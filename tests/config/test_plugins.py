"""Parts from a package that is not ours, installed from its own folder: used as those of this package are."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import limae_jax
from limae_jax.config import MixerConfig, SystemConfig
from limae_jax.config.text import from_yaml
from limae_jax.errors import InputError
from limae_jax.registry import REGISTERED

PACKAGE = Path(__file__).parents[1] / "outside_package"
SMALL = ["system.hidden_size=8", "replay.row_length=8", "replay.capacity_rows=64", "replay.batch_rows=4"]
SMALL += ["replay.min_rows=8", "evaluation.num_episodes=8", "evaluation.every_time_steps=4000"]
OWN = ["env=meet", "system=scaled_vdn", *SMALL]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that the package has been installed into."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(folder), str(PACKAGE)], check=True, capture_output=True)
    return folder


@pytest.fixture
def run(site, tmp_path):
    """Gives a command; returns its exit code, output and errors."""

    def command(*words: str, path: Path = site) -> tuple[int, str, str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), *sys.path])}
        done = subprocess.run(
            [sys.executable, "-m", "limae_jax", *words], env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    return command


@pytest.mark.slow
def test_they_are_listed_checked_and_explained(run, site, tmp_path):
    assert "the sum of the agents' values, scaled" in run("list", "systems")[1]
    assert "masking.agent=0" in run("list", "masking")[1]
    assert "agents that are paid for choosing alike" in run("list", "scenarios")[1]
    code, out, _ = run("config", *OWN, "mixer.factor=2", "env.prize=3")
    config = out[: out.index("evaluation:")]
    assert code == 0 and "factor: 2.0" in config and "prize: 3.0" in config
    assert "mixer.factor=1.0\n  of the sum." in run("config", *OWN, "--explain")[1]
    assert run("config", "env=meet", "env.sight_scale=1")[2].endswith("env=meet does not read it; choose env=smax\n")
    said = "env=meat: unknown; choose one of"
    code, _, err = run("config", "env=meat")
    assert code == 2 and said in err and "Did you mean 'meet'" in err
    assert "mixer=scaled: system=qmix has mixer=qmix; choose system=ma2e" in run("config", "mixer=scaled")[2]
    # Where the package is not installed, but its module is there.
    (tmp_path / "outside_parts").symlink_to(site / "outside_parts")
    assert run("config", "env=meet", path=tmp_path / "nothing")[0] == 2
    code, out, _ = run("config", "env=meet", "--plugin", "outside_parts", path=tmp_path / "nothing")
    assert code == 0 and "- outside_parts" in out


@pytest.mark.slow
def test_what_cannot_be_imported_is_one_line(run, tmp_path):
    (tmp_path / "broken.py").write_text("raise RuntimeError('no\\nway')\n")
    for module, problem in (("nowhere", "ModuleNotFoundError: No module named 'nowhere'"), ("broken", "RuntimeError")):
        code, out, err = run("config", "--plugin", module)
        assert (code, out) == (2, "") and len(err.splitlines()) == 1
        assert f"--plugin={module}: cannot be imported ({problem}" in err


@pytest.mark.slow
def test_a_run_of_theirs_is_killed_resumed_swept_and_reported(run, site, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    train = ["train", *OWN, "run.total_env_steps=300000", "checkpoint.every_s=0.05", "run.dir=one"]
    began = subprocess.Popen(
        [sys.executable, "-m", "limae_jax", *train], env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    saved = tmp_path / "one" / "saved.json"
    while not (saved.exists() and json.loads(saved.read_text() or "[]")):
        assert began.poll() is None
        time.sleep(0.05)
    began.send_signal(signal.SIGKILL)
    assert began.wait() == -signal.SIGKILL
    assert "- outside_parts" in (tmp_path / "one" / "config.yaml").read_text()
    # Stored settings run no code: the plug-in is asked for.
    code, _, err = run("resume", "one", path=tmp_path / "nothing")
    assert code == 2 and "run.plugins=outside_parts: the run needs this plug-in; add --plugin outside_parts" in err
    code, out, err = run("resume", "one")
    assert code == 0, err
    rows = [json.loads(line) for line in (tmp_path / "one" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["env_steps"] >= 300_000 and rows[-1]["test_met_mean"] == 1.0
    code, out, _ = run("evaluate", "one", "evaluation.num_episodes=4")
    assert code == 0 and "met mean" in out
    grid = ["sweep", *OWN, "system.gamma=0.9,0.99", "run.total_env_steps=9000", "sweep.dir=both"]
    code, out, err = run(*grid)
    assert code == 0 and "2 done" in out, err
    code, _, err = run("report", "both", "--out", "report")
    assert code == 0 and "scaled_vdn" in next((tmp_path / "report").glob("*.md")).read_text(), err


@pytest.mark.slow
def test_their_rule_and_mixer_go_with_our_systems(run, tmp_path):
    mae = ["mae.width=4", "mae.num_heads=2", "mae.window=2", "mae.encoder_layers=1", "mae.pretrain_time_steps=0"]
    more = ["masking=first", "masking.agent=1", "mixer=scaled", "run.total_env_steps=5000", "run.dir=two"]
    code, _, err = run("train", "env=meet", "system=li_ma2e", *SMALL, *mae, *more)
    assert code == 0, err
    rows = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    assert (rows[-1]["mae/hidden_0"], rows[-1]["mae/hidden_1"]) == (0.0, 1.0)


@dataclass(frozen=True)
class Qmix(MixerConfig):
    name: str = "qmix"


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="mixer=qmix: the name is taken"):
        limae_jax.register_mixer(Qmix, lambda config, env: None)
    with pytest.raises(ValueError, match="must be a frozen dataclass with the base SystemConfig"):
        limae_jax.register_system(Qmix, lambda config, env: None, "no system")  # type: ignore[arg-type]
    assert REGISTERED == {"env": {}, "system": {}, "mixer": {}, "masking": {}}
    assert SystemConfig().name == "qmix"


def test_a_stored_run_imports_nothing():
    with pytest.raises(InputError, match=r"^run.plugins=this: the run needs this plug-in; add --plugin this"):
        from_yaml("run: {plugins: [this]}\n")
    assert "this" not in sys.modules
