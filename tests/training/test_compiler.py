"""What compiling costs: told beforehand, measured, kept for the next run."""

import json
import threading

import jax
import numpy as np
import pytest

from limae_jax.config.compose import load_config
from limae_jax.devices.sharding import put_seeds, seed_mesh
from limae_jax.training import compiler as module
from limae_jax.training.compiler import COSTS_FILE, Compiler, Cost, read_costs
from limae_jax.training.seed_program import SeedProgram

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


def test_a_started_program_is_compiled_once_in_another_thread_and_waited_for(home):
    compiler, built = made(), []

    def build():
        built.append(threading.get_ident())
        return "program"

    compiler.start("train", build)
    assert compiler.compile("train", build) == "program"
    assert len(built) == 1 and built[0] != threading.get_ident()
    assert [what and what.name for what in compiler.watcher.told] == ["train", None]
    assert compiler.compile("train", build) == "program" and built[1] == threading.get_ident()
    compiler.close()


def test_what_other_threads_compile_counts_there():
    with module._durations() as durations:
        other = threading.Thread(target=jax.monitoring.record_event_duration_secs, args=(module._COMPILED, 9.0))
        other.start()
        other.join()
        jax.monitoring.record_event_duration_secs(module._COMPILED, 2.0)
    assert durations == {module._COMPILED: 2.0}


def test_an_error_in_a_started_program_is_raised_where_the_program_is_needed(home):
    compiler = made()

    def fail():
        raise MemoryError("too large")

    compiler.start("train", fail)
    with pytest.raises(MemoryError, match="too large"):
        compiler.compile("train", lambda: "never built")
    compiler.close()


def test_programs_that_are_not_needed_any_more_are_dropped(home, monkeypatch):
    monkeypatch.setattr(module, "available_cores", lambda: 1)
    compiler, may_end, built = made(), threading.Event(), []
    compiler.start("init", lambda: may_end.wait(60))
    compiler.start("train", lambda: built.append("train"))
    pool = compiler._pool
    compiler.close()
    may_end.set()
    pool.shutdown(wait=True)
    assert built == []
    # A compiler that is used again starts anew.
    assert compiler.compile("train", lambda: "built") == "built"


def test_a_program_under_way_takes_what_is_left_of_its_time(home, monkeypatch):
    compile_for(made(), monkeypatch, "train", 25.0, {})
    compiler, may_end = made("env.scenario=8m"), threading.Event()
    monkeypatch.setattr(module.time, "monotonic", lambda: 0.0)
    compiler.start("train", lambda: may_end.wait(60))
    monkeypatch.setattr(module.time, "monotonic", lambda: 10.0)
    assert compiler.ahead(["train"]) == 15.0
    monkeypatch.setattr(module.time, "monotonic", lambda: 30.0)
    assert compiler.ahead(["train"]) == 0.0
    may_end.set()
    compiler.close()


def test_a_program_that_was_started_by_shapes_is_the_one_that_is_called(home, monkeypatch):
    compiler, mesh = made(), seed_mesh(1)
    double = SeedProgram(lambda x, clock: {"value": x * 2 + clock}, mesh, "train", compiler, donate=True)
    per_seed = put_seeds(np.arange(2, dtype=np.float32), mesh)
    shapes = double.shapes(per_seed, np.float32(1))
    assert shapes["value"].shape == (2,) and shapes["value"].sharding == per_seed.sharding
    double.start(jax.ShapeDtypeStruct((2,), np.float32, sharding=per_seed.sharding), np.float32(0))
    monkeypatch.setattr(module, "_timed", lambda build: pytest.fail("compiled again"))
    assert double(per_seed, np.float32(1))["value"].tolist() == [1.0, 3.0]
    double.start(shapes["value"], np.float32(0))
    assert compiler._started == {}
    compiler.close()
