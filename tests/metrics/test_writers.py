import builtins
import sys
import types

import pytest
from rows import row

from limae_jax.config import MetricsConfig
from limae_jax.errors import InputError
from limae_jax.metrics.writers import check_extras, make_writers


class _FakeRun:
    def __init__(self):
        self.logged, self.axes, self.is_finished = [], [], False

    def define_metric(self, name, step_metric):
        self.axes.append((name, step_metric))

    def log(self, scalars):
        self.logged.append(scalars)

    def finish(self):
        self.is_finished = True


@pytest.fixture
def fake_wandb(monkeypatch):
    """Stands in for the wandb module; `starts` keeps (arguments, run) of every init."""
    module = types.ModuleType("wandb")
    module.starts = []

    def init(**arguments):
        module.starts.append((arguments, _FakeRun()))
        return module.starts[-1][1]

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


@pytest.fixture
def without_extras(monkeypatch):
    """Lets `import wandb` and `import tensorboardX` fail, as if they were not installed."""
    real_import = builtins.__import__

    def refuse(name, *rest):
        if name.split(".")[0] in ("wandb", "tensorboardX"):
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_nothing_asked_for_needs_nothing(tmp_path, without_extras):
    assert make_writers(MetricsConfig(), tmp_path) == []


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_extra_is_named(tmp_path, without_extras, name):
    with pytest.raises(InputError, match=rf"metrics.{name}=True: .*limae-jax\[{name}\]"):
        make_writers(MetricsConfig(**{name: True}), tmp_path)


def test_a_missing_extra_is_known_without_importing_it(tmp_path, monkeypatch):
    check_extras(MetricsConfig())
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"metrics.wandb=true: .*limae-jax\[wandb\]"):
        check_extras(MetricsConfig(wandb=True))
    # A folder without code, such as Weights & Biases leaves where it ran, is not the package.
    monkeypatch.delitem(sys.modules, "wandb")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (tmp_path / "wandb").mkdir()
    with pytest.raises(InputError, match="needs wandb"):
        check_extras(MetricsConfig(wandb=True))


def test_wandb_logs_scalars_and_resumes_its_run(tmp_path, fake_wandb):
    config = MetricsConfig(wandb=True, wandb_project="games")
    (writer,) = make_writers(config, tmp_path / "qmix_3m", settings={"lr": 1})
    writer.write([row(0, 1000, 0.25), row(1, 1000, 0.75)])
    writer.close()
    make_writers(config, tmp_path / "qmix_3m", resume_env_steps=1000)

    (first, run), (second, _) = fake_wandb.starts
    assert (first["project"], first["name"], first["config"]) == ("games", "qmix_3m", {"lr": 1})
    assert first["id"] == second["id"]
    assert second["resume"] == "allow"
    assert run.axes == [("*", "env_steps")]
    assert run.logged[0]["env_steps"] == 1000
    assert run.logged[0]["test_win_rate/mean"] == 0.5
    assert run.is_finished


def test_two_runs_have_two_wandb_ids(tmp_path, fake_wandb):
    for name in ("one", "two"):
        make_writers(MetricsConfig(wandb=True), tmp_path / name)
    assert fake_wandb.starts[0][0]["id"] != fake_wandb.starts[1][0]["id"]


def test_runs_of_a_sweep_are_told_apart_by_their_cells(tmp_path, fake_wandb):
    make_writers(MetricsConfig(wandb=True), tmp_path / "system=qmix" / "seeds_0_to_2")
    arguments, _ = fake_wandb.starts[0]
    assert (arguments["name"], arguments["reinit"]) == ("system=qmix/seeds_0_to_2", "create_new")


def _read_events(folder) -> list[tuple[str, int, float]]:
    """(tag, step, value) of all scalars, and ("purge", step, 0) where a session starts again."""
    from tensorboardX.proto.event_pb2 import Event

    events = []
    for path in sorted(folder.glob("events*")):
        content = path.read_bytes()
        while content:
            length = int.from_bytes(content[:8], "little")
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            events += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            if event.HasField("session_log"):
                events.append(("purge", event.step, 0.0))
    return events


def test_tensorboard_writes_events_and_hides_what_comes_again(tmp_path):
    pytest.importorskip("tensorboardX")
    config = MetricsConfig(tensorboard=True)
    (writer,) = make_writers(config, tmp_path)
    writer.write([row(0, 990, 0.25), row(1, 1000, 0.75)])
    writer.close()
    events = _read_events(tmp_path / "tensorboard")
    assert ("test_win_rate/seed_0", 1000, 0.25) in events
    assert ("test_win_rate/mean", 1000, 0.5) in events
    assert not any(tag == "purge" for tag, _, _ in events)

    (resumed,) = make_writers(config, tmp_path, resume_env_steps=1000)
    resumed.close()
    assert ("purge", 1001, 0.0) in _read_events(tmp_path / "tensorboard")
