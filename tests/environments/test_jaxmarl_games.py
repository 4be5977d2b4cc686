"""Games of jaxmarl by name: what is played, what is refused, and that each is jaxmarl's own game without its limit."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.catalogue import jaxmarl_games
from limae_jax.catalogue.jaxmarl_games import JAXMARL_GAMES, REFUSED_GAMES, playable_games, registered_games
from limae_jax.cli.main import main
from limae_jax.config import JaxmarlConfig
from limae_jax.config.compose import load_config
from limae_jax.config.text import from_file, to_file
from limae_jax.environments import make_env
from limae_jax.environments.jaxmarl import StackedEnvironment, import_jaxmarl
from limae_jax.errors import InputError
from limae_jax.metrics.jsonl import read_rows

pytestmark = pytest.mark.slow


def test_every_registered_game_is_known_or_refused():
    assert set(registered_games()) == set(import_jaxmarl("jaxmarl.registration").registered_envs)
    unknown = set(registered_games()) - set(JAXMARL_GAMES) - set(REFUSED_GAMES)
    assert {name.partition("_")[0] for name in unknown} == {"JaxRobotarium"}
    assert set(playable_games()) == set(JAXMARL_GAMES)


def test_a_game_of_a_later_jaxmarl_is_let_through(monkeypatch):
    monkeypatch.setattr(jaxmarl_games, "registered_games", lambda: ("hanabi", "SMAX", "new_game"))
    assert JaxmarlConfig(scenario="new_game").scenario == "new_game"
    assert playable_games() == ["hanabi", "new_game"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("overcokked", r"unknown; choose one of .*Did you mean 'overcooked'"),
        ("MPE_simple_tag_v3", "is competitive"),
        ("ant_4x2", "has continuous actions"),
        ("MPE_simple_facmac_v1", "has continuous actions"),
        ("SMAX", "is competitive, .*choose env=smax"),
        ("JaxRobotarium_rware", "needs jaxrobotarium"),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(name, said):
    with pytest.raises(InputError, match=rf"^env\.scenario={name}: {said}"):
        JaxmarlConfig(scenario=name)


@pytest.mark.parametrize(
    ("scenario", "options", "said"),
    [
        ("overcooked", {"layuot": "coord_ring"}, r"env\.options=layuot: unknown; .*Did you mean 'layout'"),
        ("overcooked", {"layout": "coord_rign"}, r"env\.options\.layout=coord_rign: .*Did you mean 'coord_ring'"),
        ("overcooked", {"max_steps": 3}, r"env\.options\.max_steps=3: set the limit with env\.max_steps"),
        ("coin_game", {"num_inner_steps": 3}, r"env\.options\.num_inner_steps=3: set the limit with env\.max_steps"),
        ("MPE_simple_spread_v3", {"action_type": "Continuous"}, r"env\.scenario=MPE_simple_spread_v3: has continuous"),
        ("MPE_simple_spread_v3", {"colour_of_sky": 1}, r"env\.options=colour_of_sky: unknown"),
        ("switch_riddle", {"num_agents": 2}, r"env\.options=.*num_agents.*: jaxmarl refuses it: The minimum number"),
        ("HeuristicEnemySMAX", {"num_alies": 2}, r"env\.options=num_alies: .*Did you mean 'num_allies'"),
    ],
)
def test_an_option_that_the_game_does_not_take_is_refused(scenario, options, said):
    with pytest.raises(InputError, match=said):
        make_env(JaxmarlConfig(scenario=scenario, options=options))


def test_options_are_plain_values_and_survive_the_stored_settings():
    overrides = ["env=jaxmarl", "env.scenario=hanabi", "env.options={num_agents: 3, num_cards_of_rank: [3, 2]}"]
    config = load_config(overrides)
    assert config.env.options == {"num_agents": 3, "num_cards_of_rank": [3, 2]}
    assert from_file(to_file(config)) == config
    for options, said in (({"a b": 1}, "name of an argument"), ({"layout": {"height": 1}}, "must be a number, text")):
        with pytest.raises(InputError, match=said):
            JaxmarlConfig(options=options)


def test_options_change_the_game():
    assert make_env(JaxmarlConfig(scenario="hanabi", options={"num_agents": 4})).spec.num_agents == 4
    spec = make_env(JaxmarlConfig(scenario="overcooked", options={"layout": "coord_ring"})).spec
    assert spec.obs_size == 5 * 5 * 26
    # The limit of this game depends on its size.
    assert make_env(JaxmarlConfig(scenario="switch_riddle", options={"num_agents": 5})).spec.episode_limit == 14
    env = make_env(JaxmarlConfig(scenario="coin_game", options={"payoff_matrix": [[2, 0, 0], [0, 4, 0]]}))
    assert np.shape(env._game.payoff_matrix) == (2, 3)


def steps_of(env, jit, actions):
    """Timesteps of an episode with the same joint action at every step."""
    state, timestep = jit(env.reset)(jax.random.key(3))
    seen, step = [timestep], jit(env.step)
    for number, action in enumerate(actions):
        state, timestep = step(state, jnp.asarray(action, jnp.int32), jax.random.key(number))
        seen.append(timestep)
    return jax.tree.map(lambda *leaves: np.stack(leaves), *seen)


def test_a_limit_truncates_and_only_the_task_terminates(jit):
    """switch_riddle's own limit is 6 and cannot be set in its constructor."""
    silent = steps_of(make_env(JaxmarlConfig(scenario="switch_riddle", max_steps=9)), jit, [[0, 0, 0]] * 9)
    assert silent.truncated.tolist() == [False] * 9 + [True] and not silent.terminal.any() and silent.alive.all()
    spoken = steps_of(make_env(JaxmarlConfig(scenario="switch_riddle", max_steps=1)), jit, [[2, 2, 2]])
    assert spoken.terminal.tolist() == [False, True] and not spoken.truncated.any()
    # Every agent gets the whole team's reward.
    assert spoken.reward.tolist() == [0, -1]


@pytest.mark.parametrize("limit", [10, 12])
def test_a_final_observation_is_not_the_next_episodes_first(limit, jit):
    """coin_game begins again by itself after 10 steps. Who stays where they are is seen there to the end."""
    seen = steps_of(make_env(JaxmarlConfig(scenario="coin_game", max_steps=limit)), jit, [[4, 4]] * limit)
    assert seen.truncated[-1] and seen.truncated.sum() == 1 and not seen.terminal.any()
    places = seen.obs[:, 0].reshape(limit + 1, 3, 3, 4)[..., :2]
    assert (places == places[0]).all() and places[0].sum() == 2


def test_rewards_of_agents_are_added_up_unless_each_is_the_teams(player):
    record = player(JaxmarlConfig(scenario="coin_game"), 101).play(jax.random.key(1))
    # One coin of another's colour: 1 for who takes it, -2 for the other.
    assert {-1.0, 0.0, 1.0} <= set(record.timesteps.reward.ravel().tolist())
    env = make_env(JaxmarlConfig(scenario="overcooked"))
    assert env._is_reward_shared and not make_env(JaxmarlConfig(scenario="coin_game"))._is_reward_shared


def test_only_legal_cards_are_played(player, jit):
    env, play = player(JaxmarlConfig(scenario="hanabi", max_steps=30), 101)
    record = play(jax.random.key(1))
    game = import_jaxmarl().make("hanabi")
    legal = jit(jax.vmap(jax.vmap(game.get_legal_moves)))(record.states.game)
    legal = np.stack([legal[agent] for agent in game.agents], axis=2).astype(bool)
    is_playing = ~record.timesteps.is_last
    np.testing.assert_array_equal(record.timesteps.avail[is_playing], legal[is_playing])
    assert record.timesteps.avail.any(-1).all()
    # One player acts, the other one may only wait.
    assert (record.timesteps.avail[is_playing][..., -1].sum(-1) == 1).all()
    taken = np.take_along_axis(record.timesteps.avail, record.actions[..., None], axis=-1)
    assert taken.all() and env.spec.num_actions == 21
    assert record.timesteps.terminal.any() and record.timesteps.truncated.any()


def test_units_of_smax_die_and_its_world_state_is_the_state(player, jit):
    options = {"num_allies": 3, "num_enemies": 3}
    env, play = player(JaxmarlConfig(scenario="HeuristicEnemySMAX", options=options), 60)
    record = play(jax.random.key(1))
    units = record.states.game.state
    is_alive = units.unit_alive[..., :3] | record.timesteps.terminal[..., None]
    np.testing.assert_array_equal(record.timesteps.alive, is_alive)
    assert not record.timesteps.alive.all() and record.timesteps.terminal.any()
    states = jit(jax.vmap(jax.vmap(env._game.get_world_state)))(record.states.game)
    np.testing.assert_allclose(record.timesteps.state, states, atol=1e-5)
    assert (record.timesteps.avail.sum(-1) < env.spec.num_actions).any()


class Stuck:
    """One agent of three actions, which has none left after its first step; a second one that sees less."""

    agents = ("x", "y")

    def action_space(self, agent):
        return SimpleNamespace(n=3 if agent == "x" else 2)

    def reset(self, key):
        return {"x": {"far": jnp.ones((2, 2)), "near": jnp.ones(1, jnp.int8)}, "y": jnp.ones(2)}, jnp.zeros(
            (), jnp.int32
        )

    def get_avail_actions(self, step):
        return {"x": jnp.full(3, step == 0), "y": jnp.array([0, 1])}

    def step_env(self, key, step, actions):
        ended = {"x": step == 0, "y": jnp.zeros((), bool), "__all__": step == 1}
        return self.reset(key)[0], step + 1, {"x": jnp.int32(1), "y": jnp.float32(0.5)}, ended, {}


def test_dicts_are_flattened_and_who_has_no_move_left_gets_one(jit):
    env = StackedEnvironment(Stuck(), "made_up", "stuck", max_steps=5)
    assert (env.spec.obs_size, env.spec.state_size, env.spec.num_actions) == (5, 7, 3)
    seen = steps_of(env, jit, [[2, 1], [0, 1]])
    assert seen.obs[0].tolist() == [[1] * 5, [1, 1, 0, 0, 0]]
    assert seen.avail[:2].tolist() == [[[1, 1, 1], [0, 1, 0]], [[1, 0, 0], [0, 1, 0]]]
    assert seen.alive.tolist() == [[1, 1], [0, 1], [1, 1]] and seen.terminal.tolist() == [0, 0, 1]
    assert seen.reward.tolist() == [0, 1.5, 1.5]


@pytest.mark.parametrize(
    "arguments",
    [["env.scenario=overcokked"], ["env.options={layuot: 1}"], ["env.scenario=MPE_simple_push_v3"]],
    ids=["name", "option", "refused"],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, tmp_path, capsys):
    assert main(["train", "env=jaxmarl", *arguments, f"run.dir={tmp_path / 'run'}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_team_is_trained_and_evaluated(tmp_path, capsys):
    run_dir = tmp_path / "run"
    small = ["system.hidden_size=8", "mixer.embed_dim=4", "mixer.hypernet_dim=4", "replay.row_length=8"]
    small += ["replay.capacity_rows=100", "replay.batch_rows=8", "replay.min_rows=16", "evaluation.num_episodes=4"]
    small += ["evaluation.every_time_steps=1000", "run.total_env_steps=2000"]
    command = ["train", "env=jaxmarl", "env.scenario=switch_riddle", "env.num_envs=8", "system=qmix", *small]
    assert main([*command, f"run.dir={run_dir}"]) == 0
    last = read_rows(run_dir / "metrics.jsonl")[-1]
    assert last["env_steps"] >= 2000 and np.isfinite(last["loss"]) and -1 <= last["test_return_mean"] <= 1
    capsys.readouterr()
    assert main(["evaluate", str(run_dir)]) == 0
    assert f"{last['test_return_mean']:.3f}" in capsys.readouterr().out
