"""The commands and snippets of README and docs/, run with the budget of a test.

A document's commands run one after the other in a folder of their own, as a reader would give them.
"""

import itertools
import re
from glob import glob

import pytest
from documents import DOCUMENTS, RUN_ELSEWHERE, blocks, commands, is_run, name_of
from doubles.fakes import CountingEnv
from doubles.tiny import TINY

from limae_jax import environments
from limae_jax.cli.main import main
from limae_jax.config.compose import load_config
from limae_jax.evaluation import evaluate, policy
from limae_jax.sweeps.grid import load_sweep

pytestmark = pytest.mark.slow
EXHAUSTIVE = pytest.mark.exhaustive

# One chunk of random play, without which nothing is evaluated and saved; a resumed run learns in one more.
SHORT, LONG = 1000, 4000
SMALL = [*TINY, "run.num_seeds=1", f"run.total_env_steps={SHORT}"]
SMALL_MAE = ["mae.width=4", "mae.num_heads=2", "mae.window=2", "mae.pretrain_time_steps=0"]


def in_its_tier(document):
    """README's always; those of the other documents are many."""
    return pytest.param(document, id=name_of(document), marks=[] if name_of(document) == "README.md" else [EXHAUSTIVE])


@pytest.mark.parametrize("document", [in_its_tier(one) for one in DOCUMENTS if blocks(one)])
def test_the_commands_work_in_their_order(document, tmp_path, monkeypatch, made_up_game, capsys):
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    for index, block in enumerate(blocks(document)):
        if block.language == "bash":
            folder = tmp_path / f"block{index}"
            folder.mkdir()
            for command in commands(block.text, folder):
                if is_run(command):
                    run(command, capsys)
        elif block.language == "python" and name_of(document) not in RUN_ELSEWHERE:
            exec(block.text, {})


@pytest.fixture
def made_up_game(monkeypatch):
    """Trained teams too play the made-up game of these tests, whatever their scenario."""
    for module in (environments, evaluate, policy):
        monkeypatch.setattr(module, "make_env", lambda config: CountingEnv())


def run(command, capsys):
    """Runs a command of this package."""
    arguments = [word for given in command[1:] for word in sorted(glob(given)) or [given]]
    for small in reduced(arguments):
        assert main(small) == 0, f"{' '.join(command)}\n{capsys.readouterr().err}"


def reduced(arguments):
    """The same command with settings of a test behind its own; a sweep is planned as it is, and trained in part."""
    what, *rest = arguments
    if what == "train":
        return [[what, *rest, *small_settings(load_config(rest))]]
    if what == "sweep":
        first = load_sweep(rest).cells[0].config
        return [[what, "--dry-run", *rest], [what, *rest, f"system={first.system.name}", *small_settings(first)[:-1]]]
    if what == "evaluate":
        return [[what, *rest, "evaluation.num_episodes=4"]]
    if what == "resume":
        return [[what, *(re.sub("(total_env_steps)=.*", rf"\1={LONG}", word) for word in rest)]]
    return [arguments]


_first_seed = itertools.count()


def small_settings(config):
    """Settings that the learner reads; the last one keeps the run's directory, which may be named by its scenario."""
    system = config.system.name
    # Each command keeps its own system.
    sizes = [f"mixer.{name}" for name in ("embed_dim", "hypernet_dim") if not hasattr(config.mixer, name)]
    unread = ["system", *sizes, *_unread_without_replay(config.system)]
    # These games have neither a size to choose nor a time limit.
    left_out = (*unread, "env.scenario", "env.max_steps") if config.env.name == "matrix" else unread
    settings = [override for override in SMALL if override.partition("=")[0] not in left_out]
    guesses = SMALL_MAE if config.mae else []
    if guesses and system != "oracle":
        guesses = [*guesses, "mae.encoder_layers=1"]
    # Runs of several scenarios are one map here, so a report needs other seeds.
    return [*settings, *guesses, f"run.first_seed={next(_first_seed)}", f"run.dir={config.run_dir}"]


def _unread_without_replay(system):
    """Settings of SMALL that a system without a replay does not read."""
    if system.stores_rows:
        return []
    given = [override.partition("=")[0] for override in SMALL]
    return [name for name in given if name.startswith("replay.") and name != "replay.row_length"] + [
        name for name in given if name.startswith("system.") and not hasattr(system, name.removeprefix("system."))
    ]
