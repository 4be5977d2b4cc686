"""The battle that is logged at the end of a run."""

from pathlib import Path

import pytest
from doubles.rows import row

from limae_jax.config import MetricsConfig, MpeConfig, RunConfig, TrainConfig
from limae_jax.errors import InputError
from limae_jax.metrics.console import ConsoleReport
from limae_jax.training import runner
from limae_jax.training.report import RunReport

VIDEO = MetricsConfig(wandb=True, wandb_video=True)


class Kept:
    """Writers that keep what they are told."""

    is_open = True

    def __init__(self):
        self.videos = []

    def write(self, rows):
        pass

    def add_video(self, env_steps, path):
        self.videos.append((env_steps, path))


@pytest.fixture
def report(tmp_path):
    """Of a run of three seeds, and what it warned of."""
    config = TrainConfig(run=RunConfig(dir=str(tmp_path), num_seeds=3), metrics=VIDEO)
    made = RunReport(config, ConsoleReport(1000, config.seeds, enabled=False))
    made._writers, made.told = Kept(), []
    made.warning = made.told.append
    return made


@pytest.mark.parametrize("win_rates", [(0.25, 0.75, 0.5), (None, None, None)])
def test_the_best_seed_plays(report, win_rates):
    returns = (1.0, 3.0, 2.0)
    report.open()
    report.evaluation([{**row(seed, 900, win_rates[seed]), "test_return_mean": returns[seed]} for seed in range(3)])
    report.add_video(lambda run_dir, seed: run_dir / f"{seed}.gif")
    assert report._writers.videos == [(900, Path(report.config.run_dir) / "1.gif")]


def test_a_battle_that_cannot_be_drawn_does_not_end_a_run(report):
    def fail(run_dir, seed):
        raise MemoryError("too\nlarge")

    report.open()
    report.evaluation([row()])
    report.add_video(fail)
    assert report.told == ["metrics.wandb_video: cannot render a battle (MemoryError: too large)"]


def test_a_run_that_was_finished_before_shows_nothing_again(report):
    report.open()
    report.add_video(lambda run_dir, seed: pytest.fail("drawn"))


@pytest.mark.parametrize(
    ("env", "film", "message"),
    [
        (None, None, "needs a function that draws it; call train"),
        (MpeConfig(), lambda *_: Path(), "only battles of env=smax"),
    ],
)
def test_where_nothing_can_be_drawn_that_is_told_before_training(tmp_path, env, film, message):
    settings = {} if env is None else {"env": env}
    config = TrainConfig(run=RunConfig(dir=str(tmp_path / "run")), metrics=VIDEO, **settings)
    with pytest.raises(InputError, match=rf"^metrics\.wandb_video=true: {message}"):
        runner.check_film(config, film)
