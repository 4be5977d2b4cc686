"""Environments of Gymnasium with an entry for each agent: boundaries with a double, and level-based foraging."""

import sys
from pathlib import Path

import numpy as np
import pytest

from limae_jax.catalogue.pettingzoo_game import GymnasiumSettings
from limae_jax.cli.main import main
from limae_jax.config import GymnasiumConfig, PettingzooConfig
from limae_jax.config.fitting import check_fit
from limae_jax.environments import make_env, open_games
from limae_jax.environments.pettingzoo.installation import check_gymnasium_env
from limae_jax.environments.workers.pool import WorkerPool
from limae_jax.errors import InputError
from limae_jax.metrics.jsonl import read_rows

pytestmark = [pytest.mark.slow, pytest.mark.gymnasium]

DOUBLE = "tuple_double:TupleDouble-v0"


@pytest.fixture(autouse=True)
def findable(monkeypatch):
    """Lets the workers, which get this path, find the double."""
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])


def play(count, action=(0, 0), max_steps=1000, **options):
    """The first steps of the double, and the records of its episodes."""
    with WorkerPool(GymnasiumSettings(DOUBLE, 0, 30.0, max_steps, options), 1, 5) as pool:
        seen = [pool.reset()]
        for _ in range(count):
            seen.append(pool.step(np.where(seen[-1].alive, action, 0)))
        return seen, pool.take_records(), pool.info


def course(seen, name):
    return [np.asarray(getattr(one, name)[0]).astype(int).tolist() for one in seen]


@pytest.mark.parametrize("style", ["each", "all", "each_info"])
def test_sizes_rewards_and_masks(style):
    seen, _, info = play(2, action=(2, 1), style=style, masks=True)
    assert (info.num_agents, info.obs_size, info.state_size, info.num_actions) == (2, 3, 5, 3)
    first = seen[0]
    assert first.obs[0, 0, 1:].tolist() == [1, 0] and first.obs[0, 1].tolist() == [1, 1, 1]
    assert first.state[0].tolist() == [first.obs[0, 0, 0], 1, 1, 1, 1]
    assert course(seen, "avail") == [[[1, 0, 1], [1, 1, 0]]] * 3
    # The team's reward is the sum: 1 + 20 and 1 + 10.
    assert course(seen, "reward") == [0, 32, 32]


@pytest.mark.parametrize("style", ["each", "all"])
@pytest.mark.parametrize(("word", "ends"), [("end", (True, False)), ("limit", (False, True))])
def test_an_end_is_terminal_and_a_limit_is_not(style, word, ends):
    seen, records, _ = play(3, script=("", word), style=style)
    assert [(bool(one.terminal[0]), bool(one.truncated[0])) for one in seen] == [
        (False,) * 2,
        (False,) * 2,
        ends,
        (False,) * 2,
    ]
    assert records[0].length == 2 and records[0].truncated == ends[1] and seen[3].is_first[0]
    # Each episode has a seed of its own.
    assert seen[0].obs[0, 0, 0] != seen[3].obs[0, 0, 0]


def test_an_agent_that_is_done_alone_is_dead_and_its_first_action_is_played():
    seen, _, _ = play(3, action=(2, 1), script=("first", "", "end"))
    assert course(seen, "alive") == [[1, 1], [0, 1], [0, 1], [0, 0]]
    assert course(seen[1:2], "avail") == [[[1, 0, 0], [1, 1, 0]]] and seen[1].obs[0, 0].tolist() == [0, 0, 0]
    assert course(seen, "reward") == [0, 32, 1 + 11, 1 + 11]


def test_our_time_limit_truncates():
    seen, _, info = play(2, max_steps=2)
    assert info.episode_limit == 2 and seen[2].truncated[0] and not seen[2].terminal[0] and seen[2].alive.all()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (
            DOUBLE,
            {"kind": "dict"},
            "env.scenario=tuple_double:TupleDouble-v0: has no observation and action tuples",
        ),
        (
            DOUBLE,
            {"kind": "short"},
            "env.scenario=tuple_double:TupleDouble-v0: has no observation and action tuples",
        ),
        (DOUBLE, {"skript": 1}, "env.options={'skript': 1}: tuple_double:TupleDouble-v0 refuses it: "),
        ("tuple_double:TupleDuble-v0", {}, "env.scenario=tuple_double:TupleDuble-v0: cannot be created: "),
        ("CartPole-v1", {}, "env.scenario=CartPole-v1: has no observation and action tuples"),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(name, options, said):
    with pytest.raises(InputError) as caught, WorkerPool(GymnasiumSettings(name, options=options), 1, 5):
        pass
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_names_are_checked_before_anything_starts():
    with pytest.raises(InputError, match=r"^env.scenario=no-module:Name-v0: must be an ID for gymnasium.make"):
        GymnasiumConfig(scenario="no-module:Name-v0")
    with pytest.raises(
        InputError, match=r"^env.scenario=absent_module:Name-v0: there is no module absent_module; install"
    ):
        check_gymnasium_env("absent_module:Name-v0")
    check_gymnasium_env("Name-v0")
    with pytest.raises(InputError, match="the team was trained on gymnasium"):
        check_fit(GymnasiumConfig(), PettingzooConfig())
    check_fit(GymnasiumConfig(), GymnasiumConfig(max_steps=9))
    assert hash(GymnasiumConfig()) == hash(GymnasiumConfig()) != hash(GymnasiumConfig(workers=3))


def test_level_based_foraging_is_the_game_that_is_played():
    """The same actions in the environment itself, by the seed of the first episode."""
    import gymnasium

    name = "lbforaging:Foraging-5x5-2p-1f-coop-v3"
    env = gymnasium.make(name, disable_env_checker=True)
    obs, _ = env.reset(seed=int(np.random.default_rng(0).integers(2**31)))
    config = GymnasiumConfig(scenario=name, workers=1)
    assert make_env(config).spec.obs_size == 9 and make_env(config).spec.num_actions == 6
    # These random actions eat the food, which takes both.
    generator, total = np.random.default_rng(53), 0.0
    with open_games(config) as games:
        steps, is_over = games.reset(), False
        while not is_over:
            np.testing.assert_array_equal(steps.obs[0], obs)
            actions = generator.integers(6, size=2)
            obs, rewards, is_over, _, _ = env.step(tuple(actions.tolist()))
            steps = games.step(actions[None])
            assert steps.reward[0] == pytest.approx(sum(rewards)) and steps.terminal[0] == is_over
            total += sum(rewards)
    assert total == 1.0


def test_a_team_is_trained_and_evaluated(tmp_path, capsys):
    small = ["env.workers=2", "env.scenario=lbforaging:Foraging-5x5-2p-1f-v3", "env.max_steps=20", "system=vdn"]
    small += ["system.hidden_size=8", "replay.row_length=20", "replay.capacity_rows=50", "replay.batch_rows=4"]
    small += ["replay.min_rows=4", "evaluation.num_episodes=4", "evaluation.every_time_steps=200"]
    run_dir = tmp_path / "run"
    assert main(["train", "env=gymnasium", *small, "run.total_env_steps=400", f"run.dir={run_dir}"]) == 0
    rows = read_rows(run_dir / "metrics.jsonl")
    assert rows[-1]["env_steps"] >= 400 and np.isfinite(rows[-1]["loss"]) and 0 <= rows[-1]["test_return_mean"] <= 1
    capsys.readouterr()
    assert main(["evaluate", str(run_dir), "evaluation.num_episodes=6"]) == 0
    assert "lbforaging:Foraging-5x5-2p-1f-v3" in capsys.readouterr().out
