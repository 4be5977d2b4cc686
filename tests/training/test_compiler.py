"""What compiling costs: told beforehand, measured, kept for the next run."""

import json

import jax
import pytest

from limae_jax.config.compose import load_config
from limae_jax.training import compiler as module
from limae_jax.training.compiler import COSTS_FILE, Compiler, Cost, read_costs

QMIX = ("system=qmix", "env.scenario=3m")


class Watcher:
    def __init__(self):
        self.told = []

    def compiling(self, what):
        self.told.append(what)

    def compiled(self):
        self.told.append(None)


@pytest.fixture
def home(tmp_path):
    """A compilation cache of this test's own."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "xla"))
    yield tmp_path / "xla"
    jax.config.update("jax_compilation_cache_dir", before)


def made(*overrides):
    compiler = Compiler(load_config([*QMIX, *overrides]), num_devices=1)
    compiler.watcher = Watcher()
    return compiler


def compile_for(compiler, monkeypatch, name, seconds, durations):
    """Lets a compilation take so many seconds, and jax say what it says of them."""

    def build():
        for event, duration in durations.items():
            jax.monitoring.record_event_duration_secs(event, duration)
        clock.append(clock[-1] + seconds)

    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[-1])
    compiler.compile(name, build)
    monkeypatch.undo()


def test_nothing_is_promised_where_nothing_is_known(home, monkeypatch):
    compiler = made()
    assert compiler.ahead(["warmup", "train"]) == 0.0
    compile_for(compiler, monkeypatch, "warmup", 9.0, {module._COMPILED: 7.0})
    what, end = compiler.watcher.told
    assert what.text() == "compiling warmup" and end is None
    # The next one may be as long as the longest so far.
    assert compiler.ahead(["warmup", "train", "evaluation"]) == 18.0
    assert compiler.seconds == 9.0


@pytest.mark.parametrize(
    ("overrides", "expected_s"),
    [
        # The same program is in the cache: it is traced, and read.
        (["run.first_seed=7", "system.learning_rate=1e-3", "run.total_env_steps=9"], 5.0),
        # Others of its kind are not.
        (["env.scenario=8m"], 25.0),
        (["system.hidden_size=32"], 25.0),
    ],
)
def test_a_later_run_knows_what_it_will_cost(home, monkeypatch, overrides, expected_s):
    compile_for(made(), monkeypatch, "train", 25.0, {module._COMPILED: 20.0})
    later = made(*overrides)
    assert later.ahead(["train"]) == expected_s
    compile_for(later, monkeypatch, "train", 3.0, {})
    assert later.watcher.told[0].text() == "compiling train (first time about 25 s)"
    assert later.watcher.told[0].expected_s == expected_s
    assert made("system=vdn").ahead(["train"]) == 0.0


def test_what_the_cache_saved_tells_of_the_first_time(home, monkeypatch):
    compile_for(made(), monkeypatch, "train", 4.0, {module._COMPILED: 1.0, module._SAVED_BY_CACHE: 21.0})
    assert set(read_costs().values()) == {Cost(25.0, 4.0)}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"a": 1}', '{"a": [1]}', '{"a": ["x", 1]}', '{"a": [1, 2, 3]}', "\0", '{"a": null}', "null"],
)
def test_costs_that_cannot_be_read_are_measured_again(home, monkeypatch, text):
    home.mkdir()
    (home / COSTS_FILE).write_text(text)
    assert read_costs() == {}
    compile_for(made(), monkeypatch, "train", 25.0, {})
    assert len(json.loads((home / COSTS_FILE).read_text())) == 2


def test_without_a_cache_nothing_is_kept(home, monkeypatch):
    jax.config.update("jax_compilation_cache_dir", None)
    compiler = made()
    compile_for(compiler, monkeypatch, "train", 25.0, {module._COMPILED: 20.0})
    assert not home.exists() and compiler.ahead(["train", "evaluation"]) == 25.0


def test_jax_says_how_long_it_compiles():
    """By names of events that it may change."""
    with module._durations() as durations:
        jax.jit(lambda x: x * 3 + 1).lower(1.0).compile()
    assert durations[module._COMPILED] > 0.0
