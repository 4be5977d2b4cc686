import dataclasses
import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from doubles.fakes import TINY_ENV, counters, made_up_rows, marks, on_rows, tiny_config

from limae_jax.networks.mixers import MIXERS
from limae_jax.systems.base import Auxiliary, AuxiliaryLoss, OffPolicy, Phase
from limae_jax.systems.value_based import build_value_based
from limae_jax.systems.value_spec import ValueBasedSpec, td_optimiser

NUM_SLOTS, KEY = 8, jax.random.key(0)
BATCH = made_up_rows(
    1, [marks([(3, True), (9, True)], NUM_SLOTS), marks([(4, False)], NUM_SLOTS, skip=1)], hidden_size=1
)
UTILITIES = slice(0, TINY_ENV.num_actions)


class ReadingAgent(nn.Module):
    """Utilities are the first entries of the observation times a weight; a further feature is the last one's."""

    @nn.compact
    def __call__(self, carry, inputs):
        weight = self.param("weight", nn.initializers.constant(0.5), (TINY_ENV.num_actions,))
        bonus = self.param("bonus", nn.initializers.constant(2.0), ())
        return carry, inputs.obs[..., UTILITIES] * weight, {"bonus": bonus * inputs.obs[..., -1]}

    def initial_carry(self, num_rows, num_agents):
        return jnp.zeros((num_rows, num_agents, 1))


class FeatureMixer(nn.Module):
    """Adds the agents' feature and counts their actions."""

    @nn.compact
    def __call__(self, inputs):
        weight = self.param("weight", nn.initializers.ones, ())
        return weight * jnp.sum(inputs.chosen_q + inputs.features["bonus"] + 10.0 * inputs.action, axis=-1)


def _toy(reads_feature: bool, factor: float = 1.0) -> Auxiliary:
    """factor * (100 w0 + w1 (mean feature)); its state counts its batches."""

    def loss(inputs, state, key):
        feature = jnp.mean(inputs.features["bonus"])
        feature = feature if reads_feature else jax.lax.stop_gradient(feature)
        weight = inputs.params["toy"]["weight"]
        seen = {
            "batches": state,
            "agent_error": jnp.sum(jnp.where(inputs.batch.filled[..., None], jnp.abs(inputs.errors.agent), 0)),
        }
        if inputs.errors.agent.shape != inputs.batch.action.shape:
            raise ValueError(inputs.errors.agent.shape)
        return AuxiliaryLoss(factor * (100.0 * weight[0] + weight[1] * feature), state + 1, seen)

    return Auxiliary("toy", lambda key: {"weight": jnp.ones(2)}, lambda: jnp.zeros((), jnp.int32), loss, "toy")


def _toy_optimiser(config):
    return optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.25))


class Update(NamedTuple):
    before: Any
    after: Any
    metrics: dict
    system: Any


@functools.cache
def updated(toy: str, mixer: str = "vdn") -> Update:
    """One update of a system with the reading agent: without auxiliary, or with one that reads features or does not."""
    auxiliaries = () if toy == "none" else (_toy(toy == "reads", factor=1000.0 if toy == "huge" else 1.0),)
    spec = ValueBasedSpec(
        mixer=mixer,
        make_agent=lambda env, config: ReadingAgent(),
        auxiliaries=auxiliaries,
        optimisers={
            "td": lambda config: optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(1.0)),
            "toy": _toy_optimiser,
        },
    )
    system = build_value_based(spec, tiny_config(td_lambda=0.0, gamma=0.9, reward_scale=1.0), TINY_ENV)
    before = jax.jit(system.init)(KEY)
    after, metrics = jax.jit(on_rows(system.phases[-1].learn.update))(before, BATCH, counters(0), KEY)
    return Update(before, after, metrics, system)


def _change(update: Update, part: str):
    return jax.tree.map(lambda new, old: np.asarray(new - old), update.after.params[part], update.before.params[part])


def test_an_auxiliary_trains_with_its_own_rate_and_clip():
    update = updated("alone")
    feature = np.mean(2.0 * np.asarray(BATCH.obs)[..., -1])
    gradient = np.array([100.0, feature])
    clipped = gradient * 0.5 / np.linalg.norm(gradient)
    np.testing.assert_allclose(_change(update, "toy")["weight"], -0.25 * clipped, rtol=1e-3, atol=1e-6)


def test_an_auxiliary_has_state_metrics_and_a_place_in_the_loss():
    update = updated("alone")
    assert int(update.before.auxiliary["toy"]) == 0 and int(update.after.auxiliary["toy"]) == 1
    assert int(update.metrics["toy/batches"]) == 0
    assert update.metrics["toy/agent_error"] > 0
    feature = np.mean(2.0 * np.asarray(BATCH.obs)[..., -1])
    np.testing.assert_allclose(update.metrics["loss"] - update.metrics["td_loss"], 100.0 + feature, rtol=1e-4)
    np.testing.assert_allclose(update.metrics["td_loss"], updated("none").metrics["td_loss"], rtol=1e-6)


@pytest.mark.parametrize("toy", ["alone", "huge"])
def test_a_detached_auxiliary_leaves_the_td_update_as_it_is(toy):
    """However large its gradient: clipping is by label."""
    plain, extra = updated("none"), updated(toy)
    for name, change in _change(plain, "agent")["params"].items():
        np.testing.assert_allclose(_change(extra, "agent")["params"][name], change, rtol=1e-5, atol=1e-7)
    assert np.abs(_change(plain, "agent")["params"]["weight"]).max() > 1e-3


def test_gradient_reaches_the_agent_through_the_features_that_are_used():
    assert _change(updated("alone"), "agent")["params"]["bonus"] == 0
    # d loss / d bonus = w1 mean(obs); the clip is shared with the utilities' weights, so only the sign is compared.
    change = _change(updated("reads"), "agent")["params"]["bonus"]
    assert np.sign(change) == -np.sign(np.mean(np.asarray(BATCH.obs)[..., -1]))


def test_parts_without_a_target_rule_have_no_target_copy():
    update = updated("alone")
    assert set(update.before.params) == {"agent", "mixer", "toy"}
    assert set(update.before.target_params) == {"agent", "mixer"}


def test_a_part_can_have_a_target_rule_of_its_own():
    spec = ValueBasedSpec(
        mixer=None,
        make_agent=lambda env, config: ReadingAgent(),
        auxiliaries=(_toy(False),),
        optimisers={"td": td_optimiser, "toy": _toy_optimiser},
        target_rules={"agent": "hard", "toy": "never"},
    )
    system = build_value_based(spec, tiny_config("iql"), TINY_ENV)
    state = jax.jit(system.init)(KEY)
    moved = state.replace(params=jax.tree.map(lambda x: x + 1.0, state.params))
    refreshed = jax.jit(system.after_iteration)(moved, counters(0), counters(10**6))
    jax.tree.map(np.testing.assert_array_equal, refreshed.target_params["agent"], moved.params["agent"])
    jax.tree.map(np.testing.assert_array_equal, refreshed.target_params["toy"], state.params["toy"])


def _numpy_errors(target_context) -> np.ndarray:
    """TD(0) errors of the filled slots under the feature mixer; `target_context` picks the bootstrap's actions."""
    obs, avail, action = (np.asarray(x) for x in (BATCH.obs, BATCH.avail, BATCH.action))
    q, bonus = 0.5 * obs[..., UTILITIES], 2.0 * obs[..., -1]
    greedy = np.argmax(np.where(avail, q, -np.inf), axis=-1)
    chosen, best = (np.take_along_axis(q, a[..., None], axis=-1)[..., 0] for a in (action, greedy))
    value = (best + bonus + 10.0 * target_context(greedy, action)).sum(axis=-1)
    taken = (chosen + bonus + 10.0 * action).sum(axis=-1)
    goal = np.asarray(BATCH.reward)[:-1] + 0.9 * (1 - np.asarray(BATCH.terminal)[:-1]) * value[1:]
    return (taken[:-1] - goal)[np.asarray(BATCH.filled)[:-1]]


def test_a_mixer_sees_features_and_the_actions_whose_utilities_it_mixes(monkeypatch):
    """Behind a bootstrap these are the greedy actions, not the ones that were played."""
    monkeypatch.setitem(MIXERS, "feature", lambda config, env: FeatureMixer())
    update = updated("none", mixer="feature")
    assert "weight" in update.before.params["mixer"]["params"]
    expected = 0.5 * np.mean(np.square(_numpy_errors(lambda greedy, played: greedy)))
    np.testing.assert_allclose(update.metrics["td_loss"], expected, rtol=1e-4)
    played = 0.5 * np.mean(np.square(_numpy_errors(lambda greedy, played: played)))
    assert abs(played - expected) > 0.1 * expected


def test_utilities_of_illegal_actions_change_nothing():
    unused = ~np.asarray(BATCH.avail)
    obs = np.array(BATCH.obs)
    obs[..., UTILITIES] = np.where(unused, 1e4, obs[..., UTILITIES])
    plain = updated("alone")
    after, metrics = jax.jit(on_rows(plain.system.phases[-1].learn.update))(
        plain.before, BATCH.replace(obs=obs), counters(0), KEY
    )
    assert unused.any()
    np.testing.assert_array_equal(metrics["td_loss"], plain.metrics["td_loss"])
    np.testing.assert_array_equal(metrics["toy/agent_error"], plain.metrics["toy/agent_error"])
    jax.tree.map(np.testing.assert_array_equal, after.params, plain.after.params)


def test_acting_goes_through_the_agent_network_of_the_specification():
    system, timestep = updated("none").system, jax.tree.map(lambda x: x[2], BATCH.replace(start=()))
    acted = system.act(updated("none").before.params, system.initial_carry(2), timestep, 0.0, KEY)
    q = np.where(BATCH.avail[2], BATCH.obs[2][..., UTILITIES], -np.inf)
    np.testing.assert_array_equal(acted.action, np.argmax(q, axis=-1))


def test_extra_phases_come_between_warmup_and_training():
    def pretraining(core, config):
        return (Phase("first", config.replay.min_rows, False, OffPolicy(core.update, 1)), Phase("second", 50, True))

    system = build_value_based(ValueBasedSpec(mixer="vdn", phases=pretraining), tiny_config(), TINY_ENV)
    config = dataclasses.asdict(tiny_config().replay)
    assert [phase.name for phase in system.phases] == ["warmup", "first", "second", "train"]
    assert system.phases[0].time_steps == config["min_rows"] * config["row_length"]
    assert [phase.learn is None for phase in system.phases] == [True, False, True, False]
    assert system.phases[-1].time_steps is None and system.phases[-1].explores_by_schedule
