"""Games as a team trained on SMAX plays them: from actions to observations over several steps."""

import numpy as np
import pytest
from doubles import smac_battles
from doubles.battle_games import BattleGames
from doubles.smac_battles import STOP

from limae_jax.config import SmacConfig, SmaxConfig
from limae_jax.environments.smac.translate import Translator
from limae_jax.environments.smac.translated import TranslatedGames

NUM_WORKERS = 4
ALL_FIRST = np.zeros((NUM_WORKERS, 8), int)  # everybody goes north


@pytest.fixture(scope="module")
def translator():
    return Translator(SmaxConfig(scenario="3s5z"), SmacConfig(scenario="3s5z"))


@pytest.fixture
def games(translator):
    return TranslatedGames(BattleGames("3s5z", NUM_WORKERS), translator)


def of_mates(obs):
    """[W, A, A - 1, 13] what is seen of team-mates."""
    return obs[..., : 7 * 13].reshape(NUM_WORKERS, 8, 7, 13)


def legal(steps, preferred):
    """The preferred actions [W, A], or stop where they are not legal."""
    is_legal = np.take_along_axis(steps.avail, preferred[..., None], axis=2)[..., 0]
    return np.where(is_legal, preferred, STOP)


def test_shapes_are_those_that_the_team_knows(games):
    steps = games.reset()
    assert steps.obs.shape == (NUM_WORKERS, 8, 15 * 13 + 10) and steps.obs.dtype == np.float32
    assert steps.avail.shape == (NUM_WORKERS, 8, 13) and steps.avail.dtype == bool
    assert steps.state.shape == (NUM_WORKERS, 192)
    assert steps.is_first.all() and not of_mates(steps.obs)[..., 3:6].any()


def test_the_dead_do_nothing_and_the_living_what_they_chose(games):
    steps = games.reset()
    for _ in range(2):
        steps = games.step(legal(steps, ALL_FIRST))
    scripted = games._games
    # SMAX's north, by the way the worker's team faces: east, north, west, south.
    for worker, number in enumerate((2, 5, 3, 4)):
        assert set(scripted.actions[0][worker]) == {number, 1}
    # The last ally is dead from the second step on.
    assert np.all(scripted.actions[1][:, 7][[0, 1]] == 0) and np.all(scripted.actions[1][:, :7] > 0)
    assert not steps.obs[0, 7].any()


def test_attacks_go_to_the_slot_of_the_enemy_in_that_row(games):
    steps = games.reset()
    rows = np.argmax(steps.avail[..., 5:], axis=-1)
    games.step(legal(steps, rows + 5))
    scripted = games._games
    attacked = scripted.actions[0] - 6
    expected = np.take_along_axis(scripted.enemy_slots, rows, axis=1)
    can_attack = steps.avail[..., 5:].any(-1)
    assert can_attack.sum() > 20
    np.testing.assert_array_equal(attacked[can_attack], expected[can_attack])


def test_team_mates_last_actions_are_shown_until_the_episode_ends(games):
    steps = games.reset()
    played = legal(steps, ALL_FIRST)
    steps = games.step(played)
    seen_by_first = of_mates(steps.obs)[:, 0]
    is_seen = seen_by_first[..., 0] > 0
    went_north = (played[:, 1:] == 0) & is_seen
    assert went_north.any()
    np.testing.assert_allclose(seen_by_first[..., 4], went_north, atol=1e-6)
    # Of the script's third episode: worker 2 ends in step 2, and begins anew in step 3.
    steps = games.step(legal(steps, ALL_FIRST))
    assert steps.truncated.tolist() == [False, False, True, False]
    steps = games.step(legal(steps, ALL_FIRST))
    assert steps.is_first.tolist() == [False, False, True, False]
    assert not of_mates(steps.obs)[2, ..., 3:6].any() and of_mates(steps.obs)[1, ..., 3:6].any()


def test_every_episode_gets_a_frame_of_its_own(games):
    steps = games.reset()
    scripted, base = games._games, games._games.battle
    moved = base._replace(position=base.position + np.float32([3, -2]))
    scripted.battle = moved
    for _ in range(3):
        steps = games.step(legal(steps, ALL_FIRST))
    # Worker 2 has begun a new episode there; for the others the teams have gone their way.
    own = steps.obs[:, 0, -9:-7] * 32
    np.testing.assert_allclose(own[2], base.position[2, 0], atol=1e-4)
    np.testing.assert_allclose(own[1], moved.position[1, 0], atol=1e-4)


def test_games_that_others_have_begun_can_be_taken_up(translator):
    scripted = BattleGames("3s5z", NUM_WORKERS)
    steps = scripted.reset()
    stop = np.where(steps.avail[..., 0], 0, 1)
    before = scripted.step(stop)

    class Begun:
        crashes = discarded = 0

        def reset(self):
            return before

        def step(self, action):
            return scripted.step(action)

    games = TranslatedGames(Begun(), translator)
    steps = games.reset()
    assert not steps.is_first.any()
    by_hand = smac_battles.smax_obs(scripted.battle, 8)
    np.testing.assert_allclose(steps.obs[:, 0, -10:], by_hand[:, 0, -10:], atol=1e-6)
    games.step(np.full((NUM_WORKERS, 8), STOP))
