import builtins
import importlib.machinery
import sys
import types

import pytest
from doubles.rows import row
from event_files import points_of, read_events

from limae_jax.config import MetricsConfig, RunConfig, TrainConfig
from limae_jax.errors import InputError
from limae_jax.metrics.writers import Writers, check_extras


class _FakeRun:
    offline = False

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
    module.__spec__ = importlib.machinery.ModuleSpec("wandb", None, origin="here")
    module.starts, module.is_logged_in, module.mode = [], True, "online"

    def init(**arguments):
        module.starts.append((arguments, _FakeRun()))
        return module.starts[-1][1]

    module.init = init
    module.login = lambda prompt, verify: module.is_logged_in
    module.setup = lambda: types.SimpleNamespace(settings=types.SimpleNamespace(mode=module.mode))
    module.Video = lambda path, format: (path, format)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def config_of(run_dir, seeds=2, **metrics):
    run = RunConfig(dir=str(run_dir), num_seeds=seeds)
    return TrainConfig(run=run, metrics=MetricsConfig(**metrics))


def writers_of(config, rows=()):
    """Open writers that must not fail."""
    writers = Writers(config, pytest.fail)
    writers.go_on_from(rows)
    return writers


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
    check_extras(MetricsConfig())
    writers_of(config_of(tmp_path / "run")).write([row()])
    assert not (tmp_path / "run").exists()


def test_a_missing_extra_is_known_without_importing_it(tmp_path, monkeypatch):
    check_extras(MetricsConfig())
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"wandb=true: .*limae-jax\[wandb\].*continue with metrics.wandb=false$"):
        check_extras(MetricsConfig(wandb=True))
    with pytest.raises(InputError, match=r"continue with metrics.wandb=false metrics.wandb_video=false$"):
        check_extras(MetricsConfig(wandb=True, wandb_video=True))
    # A folder without code, such as Weights & Biases leaves where it ran, is not the package.
    monkeypatch.delitem(sys.modules, "wandb")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (tmp_path / "wandb").mkdir()
    with pytest.raises(InputError, match="needs wandb"):
        check_extras(MetricsConfig(wandb=True))


def test_wandb_logs_scalars_and_resumes_its_run(tmp_path, fake_wandb):
    config = config_of(tmp_path / "qmix_3m", wandb=True, wandb_project="games")
    writers = writers_of(config)
    writers.write([row(0, 1000, 0.25), row(1, 1000, 0.75)])
    writers.close()
    writers_of(config, [row(0, 1000, 0.25), row(1, 1000, 0.75)])

    (first, run), (second, again) = fake_wandb.starts
    assert (first["project"], first["name"]) == ("games", "qmix_3m")
    assert first["config"]["metrics"]["wandb_project"] == "games"
    assert first["id"] == second["id"]
    assert second["resume"] == "allow"
    assert run.axes == [("*", "env_steps")]
    assert [point["env_steps"] for point in run.logged] == [1000] * 3
    assert run.logged[2]["test_win_rate/mean"] == 0.5
    assert run.is_finished
    assert again.logged == []  # the service has them


def test_wandb_gets_all_points_where_it_has_none(tmp_path, fake_wandb, monkeypatch):
    rows = [row(0, 1000), row(0, 2000)]
    writers_of(config_of(tmp_path / "new", 1, wandb=True), rows)
    monkeypatch.setattr(_FakeRun, "offline", True)
    for _ in range(2):
        writers = writers_of(config_of(tmp_path / "offline", 1, wandb=True), rows)
        # Cut back, and trained again.
        writers.go_on_from(rows[:1])
        writers.write([rows[1]])
        writers.write([row(0, 3000)])
    sent = [[point["env_steps"] for point in run.logged] for _, run in fake_wandb.starts]
    assert sent == [[1000, 2000], [1000, 2000, 3000], [1000, 2000, 3000]]


@pytest.mark.parametrize(
    ("place", "name", "group"),
    [
        ("qmix_3m", "qmix_3m", "qmix_3m"),
        ("qmix_3m_seed7", "qmix_3m_seed7", "qmix_3m"),
        ("qmix-seeds-0-4", "qmix-seeds-0-4", "qmix"),
        ("qmix_seed=3", "qmix_seed=3", "qmix"),
        ("seed0", "seed0", "seed0"),
        ("system=qmix/seeds_0_to_2", "system=qmix/seeds_0_to_2", "system=qmix"),
    ],
)
def test_wandb_groups_what_differs_in_seeds_only(tmp_path, fake_wandb, place, name, group):
    writers_of(config_of(tmp_path / place, wandb=True))
    writers_of(config_of(tmp_path / place, wandb=True, wandb_group="mine", wandb_tags=("a", "b"), wandb_entity="us"))
    (one, _), (other, _) = fake_wandb.starts
    assert (one["name"], one["reinit"], one["tags"], one["entity"]) == (name, "create_new", None, None)
    assert one["group"] == (group if group != "seed0" else "seed0")
    assert (other["group"], other["tags"], other["entity"]) == ("mine", ["a", "b"], "us")


def test_two_runs_have_two_wandb_ids(tmp_path, fake_wandb):
    for name in ("one", "two"):
        writers_of(config_of(tmp_path / name, wandb=True))
    assert fake_wandb.starts[0][0]["id"] != fake_wandb.starts[1][0]["id"]


@pytest.mark.parametrize("mode", ["online", "run", "shared"])
def test_without_a_login_one_line_says_what_to_do(fake_wandb, mode):
    fake_wandb.mode = mode
    check_extras(MetricsConfig(wandb=True))
    fake_wandb.is_logged_in = False
    with pytest.raises(InputError, match=r"^metrics\.wandb=true: nobody is logged in .* with metrics\.wandb=false$"):
        check_extras(MetricsConfig(wandb=True))


@pytest.mark.parametrize("mode", ["offline", "disabled", "dryrun"])
def test_what_asks_no_service_needs_no_login(fake_wandb, mode):
    fake_wandb.mode, fake_wandb.is_logged_in = mode, False
    check_extras(MetricsConfig(wandb=True))


def test_settings_of_wandb_that_it_refuses_are_one_line(fake_wandb):
    def refuse(**_):
        raise ValueError("2 validation errors\nmode: must be ...")

    fake_wandb.login = refuse
    with pytest.raises(InputError, match=r"wandb refuses its settings \(2 validation errors mode: must be"):
        check_extras(MetricsConfig(wandb=True))


@pytest.mark.parametrize("step", ["init", "log", "finish"])
@pytest.mark.parametrize("error", [ConnectionError("no\nroute"), OSError(28, "No space left"), ValueError("x" * 900)])
def test_a_writer_that_fails_is_told_once_and_left_out(tmp_path, fake_wandb, monkeypatch, step, error):
    def fail(*_, **__):
        raise error

    if step == "init":
        fake_wandb.init = fail
    else:
        monkeypatch.setattr(_FakeRun, step, fail)
    told = []
    writers = Writers(config_of(tmp_path, wandb=True, tensorboard=True), told.append)
    writers.go_on_from([])
    for step in (1000, 2000):
        writers.write([row(0, step), row(1, step)])
    writers.close()
    assert len(told) == 1 and told[0].isprintable() and len(told[0]) < 200
    assert told[0].startswith(f"metrics.wandb failed and is left out from here on ({type(error).__name__}: ")
    assert len(points_of(tmp_path, "test_win_rate/mean")) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wandb_project", ""),
        ("wandb_project", "a/b"),
        ("wandb_project", "x" * 129),
        ("wandb_entity", " "),
        ("wandb_group", "x" * 129),
        ("wandb_tags", ("fine", "")),
        ("wandb_tags", ("x" * 65,)),
        ("wandb_video", True),
    ],
)
def test_what_wandb_would_refuse_is_refused_before(name, value):
    with pytest.raises(InputError, match=rf"^metrics\.{name}="):
        MetricsConfig(**({"wandb": name != "wandb_video"} | {name: value}))


def test_tensorboard_has_each_point_once(tmp_path):
    pytest.importorskip("tensorboardX")
    config = config_of(tmp_path, 2, tensorboard=True)
    writers = writers_of(config)
    rows = [row(0, 990, 0.25), row(1, 1000, 0.75), row(0, 1990, 0.5), row(1, 2000, 1.0)]
    for pair in (rows[:2], rows[2:]):
        writers.write([{**one, "iteration": one["env_steps"] // 980} for one in pair])
    writers.close()
    # Another session has another file; the second evaluation is cut off and made again.
    (log,) = (tmp_path / "tensorboard").iterdir()
    log.rename(log.with_name("events.out.tfevents.1000000000.here"))
    kept = [{**one, "iteration": 1} for one in rows[:2]]
    resumed = writers_of(config, kept)
    resumed.write([{**one, "iteration": 2} for one in rows[2:]])
    resumed.close()
    assert points_of(tmp_path, "test_win_rate/seed_0") == [(990, 0.25), (1990, 0.5)]
    assert points_of(tmp_path, "test_win_rate/seed_1") == [(1000, 0.75), (2000, 1.0)]
    assert points_of(tmp_path, "test_win_rate/mean") == [(1000, 0.5), (2000, 0.75)]
    tags = [name for name, _, _ in read_events(tmp_path / "tensorboard")]
    assert tags.count("test_win_rate/mean") == 2


def test_tensorboard_that_cannot_be_written_does_not_end_a_run(tmp_path):
    pytest.importorskip("tensorboardX")
    (tmp_path / "tensorboard").write_text("")
    told = []
    writers = Writers(config_of(tmp_path, 1, tensorboard=True), told.append)
    writers.go_on_from([])
    writers.write([row()])
    writers.close()
    assert len(told) == 1 and "metrics.tensorboard failed" in told[0] and "File exists" in told[0]


def test_tensorboard_that_is_turned_on_later_has_what_was_before(tmp_path):
    pytest.importorskip("tensorboardX")
    writers_of(config_of(tmp_path, 1, tensorboard=True), [row(0, 1000), row(0, 2000)]).close()
    assert [step for step, _ in points_of(tmp_path, "test_win_rate/seed_0")] == [1000, 2000]
