"""Greedy evaluation: whole first episodes, repeatable, and open to other scenarios of equal sizes."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.tiny import TINY
from made_runs import made_run

import limae_jax
from limae_jax.config.compose import load_config
from limae_jax.environments import make_env
from limae_jax.errors import InputError
from limae_jax.evaluation.evaluate import evaluate_run
from limae_jax.evaluation.policy import load_teams
from limae_jax.keys import Stream
from limae_jax.rollouts.evaluator import evaluate_seed, play_episodes
from limae_jax.systems.build import build_system
from limae_jax.training import runner

pytestmark = pytest.mark.slow

PLAYS_SMAX = True
# Agents that guess their team-mates.
SMALL_MAE = ["mae.width=4", "mae.num_heads=2", "mae.window=2", "mae.encoder_layers=1", "mae.pretrain_time_steps=0"]
GUESSING = [*TINY, "system=li_ma2e", "mixer=vdn", *SMALL_MAE]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained")
    return runner.train(
        load_config([*TINY, "run.num_seeds=2", "evaluation.num_episodes=16", f"run.dir={directory / 'run'}"])
    )


@pytest.fixture(scope="module")
def guessing(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("guessing") / "run", *GUESSING)


def test_evaluate_repeats_the_last_evaluation_of_training(trained):
    rows = evaluate_run(trained.run_dir)
    for row, last in zip(rows, trained.last_rows, strict=True):
        tests = {name: value for name, value in last.items() if name.startswith("test_")}
        assert {name: row[name] for name in tests} == pytest.approx(tests, nan_ok=True)
        assert row["iteration"] == last["iteration"]


def test_the_best_checkpoint_plays_episodes_that_it_was_not_chosen_by(trained):
    config = trained.config
    env = make_env(config.env)
    system = build_system(config, env.spec)
    teams = load_teams(trained.run_dir, system, "best")
    for index, row in enumerate(evaluate_run(trained.run_dir, checkpoint="best")):
        mine = [r for r in trained.rows if r["seed"] == row["seed"]]
        chosen_by = next(r for r in mine if r["iteration"] == row["iteration"])
        assert chosen_by["test_win_rate"] == max(r["test_win_rate"] for r in mine)
        whom = (np.int32(row["seed"]), jax.tree.map(lambda x, i=index: x[i], teams.params), np.int32(row["iteration"]))
        # The stored parameters are those of that evaluation, and what is reported is another one.
        for stream, expected in ((Stream.EVAL, chosen_by), (Stream.FRESH_EVAL, row)):
            again = evaluate_seed(env, system, config.evaluation.num_episodes, whom, stream)
            assert float(again["test_return_mean"]) == pytest.approx(expected["test_return_mean"])
        measured = [name for name in row if name.startswith("test_")]
        assert any(row[name] != pytest.approx(chosen_by[name]) for name in measured)


def test_another_scenario_of_equal_sizes_is_played(trained):
    rows = evaluate_run(trained.run_dir, ["env.scenario=2z_vs_2z", "evaluation.num_episodes=8"])
    assert [row["scenario"] for row in rows] == ["2z_vs_2z"] * 2
    assert [row["test_episodes"] for row in rows] == [8, 8]
    assert rows[0]["test_return_mean"] != trained.last_rows[0]["test_return_mean"]


@pytest.mark.parametrize("positions", [[], ["env.observes_positions_and_cooldowns=false"]])
def test_guesses_are_judged_by_the_game_that_is_played(guessing, positions):
    """An observation's place of health and position, and the range of sight that scales it, are that game's."""
    far = "env.unit_type_sight_ranges=[40,40,40,40,40,40]"
    # The enemy can come and hurt someone: of one health throughout there is no R2.
    hurt = ["env.max_steps=60", "env.walls_cause_death=false"]
    for row in evaluate_run(guessing, [far, *positions, *hurt, "evaluation.num_episodes=16"]):
        # Who sees all of the team knows its health and position.
        assert row["test_r2_seen"] > 0.999 and np.isfinite(row["test_r2_health_position"])


def test_another_scenario_of_other_sizes_is_refused_by_name(trained):
    with pytest.raises(InputError, match=r"env\.scenario=3m: has num_agents 3, not 2"):
        evaluate_run(trained.run_dir, ["env.scenario=3m"])
    with pytest.raises(InputError, match=r"system\.gamma.*env\.\* and evaluation\.\* only"):
        evaluate_run(trained.run_dir, ["system.gamma=0.5"])


def test_every_episode_is_counted_once_and_to_its_end():
    config = load_config([*TINY, "env.max_steps=9"])
    env = make_env(config.env)
    system = build_system(config, env.spec)
    params = system.init(jax.random.key(0)).params
    episodes, _ = jax.jit(lambda key: play_episodes(env, system, params, 16, key))(jax.random.key(1))
    lengths = np.asarray(episodes["length"])
    assert lengths.max() <= 9 and lengths.min() >= 1
    # Nobody wins with an untrained network this soon, so whoever lived was stopped by the limit.
    assert np.all((lengths == 9) | (np.asarray(episodes["ally_deaths"]) == 2) | (np.asarray(episodes["win"]) == 1))
    assert set(np.unique(episodes["win"])) <= {0.0, 1.0}


def test_evaluating_changes_no_training(trained, tmp_path):
    other = ["run.num_seeds=2", "evaluation.every_time_steps=1000000", f"run.dir={tmp_path / 'seldom'}"]
    seldom = runner.train(load_config([*TINY, *other]))
    assert len(seldom.rows) < len(trained.rows)
    system = build_system(trained.config, make_env(trained.config.env).spec)
    teams, same = (load_teams(one.run_dir, system).params for one in (trained, seldom))
    jax.tree.map(np.testing.assert_array_equal, teams, same)


def test_load_policy_plays_as_the_evaluation_does(trained):
    policy = limae_jax.load_policy(trained.run_dir, seed=1)
    env = make_env(trained.config.env)
    step = jax.jit(env.step)
    state, timestep = env.reset(jax.random.key(3))
    carry, actions = policy.initial_carry, []
    for index in range(trained.config.env.max_steps):
        action, carry = policy.act(carry, timestep.obs, timestep.avail)
        assert bool(jnp.all(jnp.take_along_axis(timestep.avail, action[:, None], axis=1)))
        actions.append(np.asarray(action))
        state, timestep = step(state, action, jax.random.key(index))
        if bool(timestep.is_last):
            break
    assert len(actions) > 1
    with pytest.raises(InputError, match=r"seed=7: not trained"):
        limae_jax.load_policy(trained.run_dir, seed=7)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="RUN_DIR"):
        evaluate_run(Path(tmp_path))
