"""SMAC's units as SMAX's observations, and SMAX's actions as SMAC's."""

import dataclasses

import jax
import numpy as np
import pytest
from doubles import smac_battles
from doubles.smac_battles import FACING, LOOPS, SMAC_WAYS, SMAX_RANGES, SMAX_WAYS, STOP
from jaxmarl.environments.smax.smax_env import State

from limae_jax.catalogue.scenarios import UNIT_TYPES, parse_scenario
from limae_jax.catalogue.smac_maps import SMAC_MAPS
from limae_jax.config import SmacConfig, SmaxConfig
from limae_jax.config.compose import load_config
from limae_jax.environments.smac.translate import Translator

pytestmark = pytest.mark.slow

# Every map of SMAC without units that SMAX lacks, and what SMAX calls it.
COMMON = {name: name for name, battle in SMAC_MAPS.items() if {*battle.allies, *battle.enemies} <= {*UNIT_TYPES}}
COMMON["corridor"] = "6z_vs_24zg"
SHIFTED = 1  # what the slots of the enemies are turned by, so that row and slot differ


class Translated:
    """A translator over four workers, which face FACING in turn, at a battle's start and later in it."""

    def __init__(self, trained, scenario, seed=0, **options):
        self.trained, generator = trained, np.random.default_rng(seed)
        self.num_allies, self.num_enemies = smac_battles.sizes(scenario)
        self.translator = Translator(trained, SmacConfig(scenario=scenario, **options))
        self.start = smac_battles.start_of(scenario, generator)
        self.battle = smac_battles.later_than(self.start, self.num_allies, generator)
        self.slots = np.tile(np.roll(np.arange(self.num_enemies), SHIFTED), (4, 1))
        self.avail = generator.random((4, self.num_allies, 6 + self.num_enemies)) < 0.5
        self.see = jax.jit(jax.vmap(self.translator.see))
        seen = jax.tree.map(lambda x: np.broadcast_to(x, (4, *x.shape)), self.translator.blank())
        self.first, seen = self._see(seen, self.start, is_first=True)
        self.later, _ = self._see(seen, self.battle, is_first=False)

    def _see(self, seen, battle, is_first):
        facts = smac_battles.facts_of(battle, self.num_allies, self.slots)
        led_here = battle.last_action[:, : self.num_allies]
        starts = np.full(4, is_first)
        view, seen = self.see(seen, led_here, starts, facts.allies, facts.enemies, facts.enemy_slots, self.avail)
        return jax.tree.map(np.asarray, view), seen

    def distances(self):
        """[4, A, N] between the units of the later battle."""
        position = self.battle.position
        return np.linalg.norm(position[:, : self.num_allies, None] - position[:, None], axis=-1)


def get_obs(smax, battle, num_allies):
    """[4, A, O] by the observation function of a jaxmarl game."""
    num_units = len(battle.unit_type)
    attacks = np.where(np.arange(num_units) < num_allies, np.maximum(battle.last_action - STOP, 0), 0)
    health, cooldowns = np.asarray(smax.unit_type_health), np.asarray(smax.unit_type_weapon_cooldowns)
    state = State(
        unit_positions=battle.position,
        unit_alive=battle.health > 0,
        unit_teams=np.tile(smax.teams, (4, 1)),
        unit_health=battle.share * health[battle.unit_type],
        unit_types=np.tile(battle.unit_type, (4, 1)),
        unit_weapon_cooldowns=battle.cooldown / LOOPS[battle.unit_type] * cooldowns[battle.unit_type],
        prev_movement_actions=SMAX_WAYS[np.minimum(battle.last_action, STOP)],
        prev_attack_actions=np.where(attacks > 0, attacks + STOP, 0),
        step=np.zeros(4, np.int32),
        done=np.zeros(4, bool),
    )
    by_agent = jax.jit(jax.vmap(smax.get_obs))(state)
    return np.stack([by_agent[f"ally_{agent}"] for agent in range(num_allies)], axis=1)


@pytest.mark.parametrize("scenario", COMMON)
def test_observations_are_smax_s_own_whichever_way_the_team_faces(scenario):
    game = Translated(SmaxConfig(scenario=COMMON[scenario]), scenario)
    truth = get_obs(game.translator._smax._game, game.battle, game.num_allies)
    # Blocks of units that are further away than SMAC shows: a stalker of SMAX sees 10 cells far.
    others = ~np.eye(game.num_allies, game.num_allies + game.num_enemies, dtype=bool)
    is_far = (game.distances() >= 9)[:, others].reshape(4, game.num_allies, -1)
    truth[..., :-10][np.repeat(is_far, 13, axis=-1)] = 0
    np.testing.assert_allclose(game.later.obs, truth, rtol=0, atol=1e-6)
    by_hand = smac_battles.smax_obs(game.battle, game.num_allies)
    np.testing.assert_allclose(game.later.obs, by_hand, rtol=0, atol=1e-6)
    np.testing.assert_allclose(game.first.obs, smac_battles.smax_obs(game.start, game.num_allies), rtol=0, atol=1e-6)


def test_smac_s_maps_have_smax_s_teams():
    for scenario, name in COMMON.items():
        battle, smax = SMAC_MAPS[scenario], parse_scenario(name)
        assert battle.allies + battle.enemies == tuple(UNIT_TYPES[unit] for unit in smax.unit_types)
        assert battle.num_agents == smax.num_allies


@pytest.fixture(scope="module")
def stalkers():
    return Translated(SmaxConfig(scenario="3s_vs_5z"), "3s_vs_5z", seed=2)


def test_the_battle_leaves_no_feature_out(stalkers):
    blocks, own = stalkers.later.obs[..., :-10].reshape(4, 3, 7, 13), stalkers.later.obs[..., -10:]
    of_mates, of_enemies = [0, 1, 2, 3, 4, 5, 6, 9], [0, 1, 2, 3, 4, 10]
    assert np.flatnonzero(blocks[:, :, :2].any((0, 1, 2))).tolist() == of_mates
    assert np.flatnonzero(blocks[:, :, 2:].any((0, 1, 2))).tolist() == of_enemies
    assert np.flatnonzero(own.any((0, 1))).tolist() == [0, 1, 2, 3, 6] and not own.any(-1).all()


def test_moves_and_their_masks_turn_with_the_map(stalkers):
    for worker, (x, y) in enumerate(FACING.values()):
        for move, (east, north) in enumerate(SMAX_WAYS[:STOP]):
            number = stalkers.later.numbers[worker, move]
            assert SMAC_WAYS[number] == (east * x - north * y, east * y + north * x)
            np.testing.assert_array_equal(stalkers.later.avail[worker, :, move], stalkers.avail[worker, :, number])


def test_attacks_are_those_on_the_slot_of_the_enemy(stalkers):
    np.testing.assert_array_equal(stalkers.later.numbers[:, 5:], 6 + stalkers.slots)
    np.testing.assert_array_equal(stalkers.later.avail[..., 5:], stalkers.avail[..., 6:][..., stalkers.slots[0]])
    assert not np.array_equal(stalkers.slots[0], np.arange(5))


def test_stop_is_always_there(stalkers):
    assert np.all(stalkers.later.numbers[:, STOP] == 1) and np.all(stalkers.later.avail[..., STOP])


def test_weapon_masks_an_attack_beyond_smax_s_range(stalkers):
    weapon = Translated(stalkers.trained, "3s_vs_5z", seed=2, attack_mask="weapon")
    in_range = stalkers.distances()[..., 3:] < SMAX_RANGES[2]
    np.testing.assert_array_equal(weapon.later.avail[..., 5:], stalkers.later.avail[..., 5:] & in_range)
    np.testing.assert_array_equal(weapon.later.avail[..., :5], stalkers.later.avail[..., :5])
    assert (stalkers.later.avail[..., 5:] & ~in_range).any() and weapon.later.avail[..., 5:].any()


def test_sight_of_smax_reaches_beyond_smac_s(stalkers):
    far = Translated(stalkers.trained, "3s_vs_5z", seed=2, sight="smax")
    expected = smac_battles.smax_obs(far.battle, far.num_allies, limit=np.inf)
    np.testing.assert_allclose(far.later.obs, expected, rtol=0, atol=1e-6)
    assert not np.array_equal(far.later.obs.any(-1), stalkers.later.obs) and (far.later.obs != stalkers.later.obs).any()


def test_strict_hides_what_smac_does_not_show(stalkers):
    strict = Translated(stalkers.trained, "3s_vs_5z", seed=2, is_strict=True)
    blocks = stalkers.later.obs[..., :-10].reshape(4, 3, 7, 13).copy()
    blocks[..., 6] = 0  # cooldowns
    blocks[:, :, 2:, 3:6] = 0  # what the enemies do
    own = stalkers.later.obs[..., -10:].copy()
    own[..., 1:4] = 0  # place and cooldown
    expected = np.concatenate([blocks.reshape(4, 3, -1), own], axis=-1)
    np.testing.assert_array_equal(strict.later.obs, expected)
    np.testing.assert_array_equal(strict.later.avail, stalkers.later.avail)


def test_the_instance_s_own_sights_and_sizes_count():
    profile = load_config(["env=smax_smac_like", "env.scenario=3s_vs_5z"]).env
    profile = dataclasses.replace(profile, unit_type_sight_ranges=(9, 9, 7, 9, 9, 9), map_width=64, map_height=48)
    game = Translated(profile, "3s_vs_5z", seed=2)
    shown = smac_battles.smax_obs(game.battle, 3, sights=np.array([9, 9, 7, 9, 9, 9]))
    blocks = shown[..., :-10].reshape(4, 3, 7, 13)
    blocks[:, :, 2:, 3:7] = 0
    middle_moved = (game.battle.position[:, :3] + np.array([16, 8])) / np.array([64, 48])
    shown[..., -9:-7] = np.where(shown[..., -10:-9] > 0, middle_moved, 0)
    np.testing.assert_allclose(game.later.obs, shown, rtol=0, atol=1e-6)


def test_cones_are_smax_s_own_too():
    game = Translated(SmaxConfig(observation_type="conic"), "3m")
    truth = get_obs(game.translator._smax._game, game.battle, game.num_allies)
    np.testing.assert_allclose(game.later.obs, truth, rtol=0, atol=1e-6)
    assert truth[..., :-10].any()
