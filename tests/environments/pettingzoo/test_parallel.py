"""Environments of PettingZoo in workers: boundaries with a double, and real ones from PyPI."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from limae_jax.catalogue.pettingzoo_game import ParallelSettings
from limae_jax.config import MpeConfig, PettingzooConfig, SmaxConfig
from limae_jax.config.fitting import check_fit
from limae_jax.environments import make_env, open_games
from limae_jax.environments.pettingzoo.installation import check_parallel_env
from limae_jax.environments.workers.pool import WorkerPool
from limae_jax.errors import GameError, InputError

pytestmark = [pytest.mark.slow, pytest.mark.pettingzoo]

DOUBLE = "foraging_double:make"


@pytest.fixture(autouse=True)
def findable(monkeypatch):
    """Lets the workers, which get this path, find the double."""
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])


def play(count, workers=1, max_steps=1000, timeout_s=30.0, max_crashes=5, seed=0, action=None, **options):
    """The first steps of the double, with the first legal action unless another is given, and the pool's records."""
    settings = ParallelSettings(DOUBLE, seed, timeout_s, max_steps, options)
    with WorkerPool(settings, workers, max_crashes) as pool:
        seen = [pool.reset()]
        for _ in range(count):
            first = seen[-1].avail.argmax(-1)
            seen.append(pool.step(first if action is None else np.where(seen[-1].alive, action, first)))
        return seen, pool.take_records(), pool


def course(seen, name):
    return np.stack([getattr(one, name)[0] for one in seen]).astype(int).tolist()


def test_observations_and_actions_are_padded():
    seen, _, pool = play(2, masks="obs", action=[0, 1, 0])
    info = pool.info
    assert (info.num_agents, info.obs_size, info.state_size, info.num_actions) == (3, 4, 4 + 3 + 3, 3)
    first, second = seen[0], seen[1]
    # a sees 2 x 2 numbers and b three; c has not come.
    assert first.obs[0, 0, 1:].tolist() == [1, 1, 1] and first.obs[0, 1:].tolist() == [[1, 1, 1, 0], [0, 0, 0, 0]]
    assert second.obs[0, 1].tolist() == [2, 2, 2, 0]
    # Without a state of its own: the observations without padding.
    assert first.state[0].tolist() == [*first.obs[0, 0], 1, 1, 1, 0, 0, 0]
    assert course(seen[:1], "avail") == [[[1, 0, 1], [1, 1, 0], [1, 0, 0]]]
    assert course(seen, "alive")[0] == [1, 1, 0]
    # b's second action is number 6 of its own; the double refuses others.
    assert course(seen, "reward") == [0, 1 + 11, 1 + 11]


def test_an_environments_own_state_is_taken():
    seen, _, _ = play(2, has_state=True)
    assert course(seen, "state") == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]


@pytest.mark.parametrize("masks", ["obs", "infos", "nowhere"])
def test_action_masks_are_read_wherever_they_are(masks):
    seen, _, _ = play(1, masks=masks)
    assert course(seen, "avail")[1][0] == ([1, 1, 1] if masks == "nowhere" else [1, 0, 1])
    assert course(seen, "obs")[1] == [[*seen[1].obs[0, 0, :1].astype(int), 2, 2, 2], [2, 2, 2, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("end", "terminal", "alive"),
    [
        ("end", True, [0, 0, 0]),
        # Who is cut off still has a value, and so a legal action: all that they saw then.
        ("limit", False, [1, 1, 0]),
        ("both", True, [0, 0, 0]),
        ("mixed", False, [0, 1, 0]),
    ],
)
def test_termination_and_truncation_are_kept_apart(end, terminal, alive):
    seen, records, _ = play(4, script=["", end], masks="infos")
    assert course(seen, "is_first") == [1, 0, 0, 1, 0]
    assert course(seen, "terminal") == [0, 0, int(terminal), 0, 0]
    assert course(seen, "truncated") == [0, 0, int(not terminal), 0, 0]
    assert course(seen, "alive")[2] == alive and course(seen, "alive")[3] == [1, 1, 0]
    last = seen[2]
    for agent in range(3):
        sees = {0: [3, 3, 3], 1: [3, 3, 3], 2: [0, 0, 0]}[agent] if alive[agent] else [0, 0, 0]
        assert last.obs[0, agent, 1:].tolist() == (sees if agent != 1 or not alive[1] else [3, 3, 0])
    assert last.avail[0, 0].tolist() == ([True, False, True] if alive[0] else [True, False, False])
    assert [(one.length, one.truncated, one.episode_return) for one in records] == [(2, not terminal, 4.0)]


def test_an_agent_that_dies_or_leaves_is_dead_and_the_team_plays_on():
    seen, records, _ = play(4, script=["b:dies", "c:comes", "a:leaves", "end"])
    assert course(seen, "alive") == [[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert course(seen, "avail")[1][1] == [1, 0, 0] and not seen[1].obs[0, 1].any()
    # The double refuses actions of the dead, and rewards of the dead are none.
    assert course(seen, "reward") == [0, 2, 1, 2, 1]
    assert course(seen, "terminal") == [0, 0, 0, 0, 1] and course(seen, "truncated") == [0] * 5
    assert [(one.length, one.truncated) for one in records] == [(4, False)]


def test_who_left_before_does_not_truncate_the_episode():
    seen, _, _ = play(2, script=["a:leaves", "end"])
    assert course(seen, "terminal") == [0, 0, 1] and course(seen, "truncated") == [0, 0, 0]
    seen, _, _ = play(2, script=["a:dies", "limit"])
    assert course(seen, "terminal") == [0, 0, 0] and course(seen, "truncated") == [0, 0, 1]
    assert course(seen, "alive")[2] == [0, 1, 0]


def test_a_limit_of_the_settings_truncates_too():
    seen, records, pool = play(5, script=[""] * 9, max_steps=2)
    assert pool.info.episode_limit == 2
    assert course(seen, "truncated") == [0, 0, 1, 0, 0, 1] and not np.any(course(seen, "terminal"))
    assert course(seen, "is_first") == [1, 0, 0, 1, 0, 0] and course(seen, "alive")[2] == [1, 1, 0]
    assert [one.truncated for one in records] == [True, True]
    # An end by itself at the same step is one.
    seen, _, _ = play(2, script=["", "end"], max_steps=2)
    assert course(seen, "terminal") == [0, 0, 1] and course(seen, "truncated") == [0, 0, 0]


def test_seeds_decide_the_episodes():
    def drawn(seed):
        seen, _, _ = play(6, workers=2, seed=seed)
        return [seen[step].obs[worker, 0, 0] for worker in (0, 1) for step in (0, 4)]

    once, again, other = drawn(3), drawn(3), drawn(50)
    assert once == again != other
    assert len(set(once)) > 2, "neither workers nor episodes share a seed"


@pytest.mark.parametrize("kind", ["raise", "kill", "hang", "shape", "state", "mask"])
def test_a_failed_episode_is_discarded_and_its_environment_replaced(kind, tmp_path):
    timeout_s = 1.0 if kind == "hang" else 30.0
    # In its second episode. An array of another shape and a mask without a legal action are failures too.
    faults = {"fault": (kind, 5), "once": str(tmp_path / "struck"), "masks": "infos", "has_state": True}
    seen, records, pool = play(9, timeout_s=timeout_s, **faults)
    assert (pool.crashes, pool.discarded) == (1, 1)
    assert course(seen, "is_discarded") == [0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert course(seen, "is_first") == [1, 0, 0, 0, 1, 0, 1, 0, 0, 0]
    assert [one.length for one in records] == [3, 3] and seen[6].reward[0] == 0


def test_giving_up_says_what_was_wrong():
    with pytest.raises(GameError, match=r"foraging_double:make: .* 2 times in a row .*ConnectionError: the field is"):
        play(9, fault=("raise", 2), max_crashes=2)


@pytest.mark.parametrize(
    ("scenario", "options", "said"),
    [
        ("mpe2.simple_spred_v3", {}, r"env\.scenario=mpe2\.simple_spred_v3: unknown; .*Did you mean 'mpe2\.simple_spr"),
        ("mpe_2.simple", {}, r"env\.scenario=mpe_2\.simple: cannot be imported .*install its package"),
        ("nowhere", {}, r"env\.scenario=nowhere: there is no such module"),
        ("json", {}, r"env\.scenario=json: has no parallel_env"),
        ("foraging_double:make_nothing", {}, "is not a parallel environment of PettingZoo"),
        ("foraging_double:not_an_environment", {}, r"refuses it: 'int' object is not callable"),
        (DOUBLE, {"msks": "obs"}, r"env\.options=\{'msks': 'obs'\}: .*unexpected keyword argument 'msks'"),
        ("mpe2.simple_spread_v3", {"continuous_actions": True}, "actions of agent agent_0 are not discrete"),
    ],
)
def test_what_cannot_be_played_is_refused_in_a_line(scenario, options, said):
    config = PettingzooConfig(scenario=scenario, options=options)
    with pytest.raises(InputError, match=said) as raised:
        check_parallel_env(scenario)
        make_env(config)
    assert "\n" not in str(raised.value)


def test_a_scenario_is_the_name_of_a_module():
    for name in ("not a module", "mpe2/simple", "mpe2.", "a:b:c"):
        with pytest.raises(InputError, match=r"env\.scenario=.*such as mpe2\.simple_spread_v3"):
            PettingzooConfig(scenario=name)


def test_teams_do_not_go_over_to_other_families():
    pettingzoo = PettingzooConfig()
    check_fit(pettingzoo, PettingzooConfig(max_steps=10))
    for trained, other in ((SmaxConfig(), pettingzoo), (pettingzoo, MpeConfig())):
        with pytest.raises(InputError, match=f"env={other.name}: the team was trained on {trained.name}"):
            check_fit(trained, other)


@pytest.mark.parametrize(
    "config",
    [
        PettingzooConfig(workers=2),
        PettingzooConfig(scenario="mpe2.simple_speaker_listener_v4", workers=1),
        PettingzooConfig(scenario="pettingzoo.butterfly.knights_archers_zombies_v11", workers=1, max_steps=30),
    ],
    ids=lambda config: config.scenario.rpartition(".")[2],
)
def test_real_environments_keep_the_contract(config):
    spec, generator = make_env(config).spec, np.random.default_rng(0)
    with open_games(config, seed=1) as games:
        steps, ended = games.reset(), 0
        for _ in range(60):
            assert steps.obs.shape == (config.workers, spec.num_agents, spec.obs_size) and np.isfinite(steps.obs).all()
            assert steps.state.shape == (config.workers, spec.state_size) and np.isfinite(steps.state).all()
            assert steps.avail.shape[2] == spec.num_actions and steps.avail.any(-1).all()
            assert not (steps.terminal & steps.truncated).any() and (steps.reward[steps.is_first] == 0).all()
            is_last = steps.terminal | steps.truncated
            ended += is_last.sum()
            steps = games.step(np.where(steps.avail, generator.random(steps.avail.shape), -1).argmax(-1))
            np.testing.assert_array_equal(steps.is_first, is_last)
        records = games.take_records()
    assert ended == len(records) > 0 and games.crashes == 0
    assert all(record.truncated and record.length <= min(spec.episode_limit, 30) for record in records)


def test_a_real_environment_is_the_one_that_is_played():
    """The same actions in the environment itself, by the seed of the first episode."""
    from mpe2 import simple_spread_v3

    config = PettingzooConfig(workers=1)
    env = simple_spread_v3.parallel_env()
    obs, _ = env.reset(seed=int(np.random.default_rng(0).integers(2**31)))
    with open_games(config) as games:
        steps = games.reset()
        for step in range(25):
            np.testing.assert_allclose(steps.obs[0], [obs[agent] for agent in env.possible_agents], rtol=1e-6)
            np.testing.assert_allclose(steps.state[0], env.state(), rtol=1e-6)
            actions = (np.arange(3) + step) % 5
            obs, rewards, *_ = env.step(dict(zip(env.possible_agents, actions.tolist(), strict=True)))
            steps = games.step(actions[None])
            assert steps.reward[0] == pytest.approx(sum(rewards.values()), rel=1e-5)
        assert steps.truncated[0] and steps.alive.all()
        # Its last observation is there, for its value.
        np.testing.assert_allclose(steps.obs[0], [obs[agent] for agent in env.possible_agents], rtol=1e-6)


def test_workers_import_no_jax():
    program = "import sys; import limae_jax.environments.workers.worker, limae_jax.environments.pettingzoo.parallel;"
    assert os.system(f"{sys.executable} -c \"{program} sys.exit('jax' in sys.modules)\"") == 0
