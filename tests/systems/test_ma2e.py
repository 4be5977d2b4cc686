"""MA2E, LI-MA2E and the oracle: one learner with QMIX, and one pair of eyes for acting and learning."""

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest
from acted import NUM_STEPS, SCRIPT, acted, cut
from context_systems import BATCH, BATCH_WITHOUT_HISTORY, KEY, TRIO, config_of, learner, utilities
from doubles.fakes import counters, noise_like

from limae_jax.cli.main import main
from limae_jax.losses.td import td_loss
from limae_jax.systems.build import build_system

pytestmark = pytest.mark.slow

equal = functools.partial(jax.tree.map, np.testing.assert_array_equal)
CONTEXTS = [("li_ma2e", "last_step"), ("li_ma2e", "window"), ("oracle", "window")]


def _differ(one, other) -> bool:
    return any(np.any(np.asarray(a) != np.asarray(b)) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


# Without context, pre-training and masks it is QMIX.


def _without(name: str):
    settings = {"mae_context": "off", "mae_pretrain_time_steps": 0, "mae_freeze_after_pretraining": True}
    return learner(name) if name == "qmix" else learner(name, **settings)


def test_without_context_it_starts_and_plays_as_qmix():
    ours, qmix = (_without(name).system for name in ("li_ma2e", "qmix"))
    assert [phase.name for phase in ours.phases] == [phase.name for phase in qmix.phases] == ["warmup", "train"]
    assert [phase[1:3] for phase in ours.phases] == [phase[1:3] for phase in qmix.phases]
    assert [phase.learn and phase.learn[1:] for phase in ours.phases] == [
        phase.learn and phase.learn[1:] for phase in qmix.phases
    ]
    one, other = (jax.jit(system.init)(KEY) for system in (ours, qmix))
    equal({part: one.params[part] for part in ("agent", "mixer")}, other.params)
    equal(one.target_params, other.target_params)
    carries = [system.initial_carry(2) for system in (ours, qmix)]
    acts = [jax.jit(system.act) for system in (ours, qmix)]
    for step in range(5):
        slot, key = jax.tree.map(lambda x, step=step: x[step], SCRIPT.replace(start=())), jax.random.key(step)
        both = [
            act(state.params, carry, slot, 0.5, key)
            for act, state, carry in zip(acts, (one, other), carries, strict=True)
        ]
        equal(both[0].action, both[1].action)
        carries = [acted.carry for acted in both]
        equal(*carries)


def test_without_context_it_learns_what_qmix_learns():
    ours, qmix = _without("li_ma2e"), _without("qmix")
    one, other = ours.state, qmix.state
    parts = ("agent", "mixer")
    one = one.replace(params=one.params | other.params, target_params=one.target_params | other.target_params)
    for step in range(3):
        noise = np.asarray(jax.random.normal(jax.random.key(step), BATCH.reward.shape))
        batch = BATCH_WITHOUT_HISTORY.replace(reward=noise)
        one, seen = ours.updated(batch, one, jax.random.key(step))
        other, wanted = qmix.updated(batch, other, jax.random.key(step))
        for part in parts:
            close = functools.partial(np.testing.assert_allclose, atol=1e-6, rtol=0)
            jax.tree.map(close, one.params[part], other.params[part])
        np.testing.assert_allclose(seen["td_loss"], wanted["td_loss"], rtol=1e-6)
    equal(one.params["mae"], ours.state.params["mae"])
    assert _differ(other.params, qmix.state.params)


# Acting step by step and unrolling the stored row.


@pytest.mark.parametrize(("name", "context"), CONTEXTS)
def test_rows_are_valued_as_they_were_when_they_were_played(name, context):
    one, played = learner(name, mae_context=context), acted(name, mae_context=context)
    value = jax.jit(functools.partial(utilities, one.core))
    length, forgot = 6, 0.0
    for begin in range(NUM_STEPS - length + 1):
        row = cut(SCRIPT, played.carry, begin, length)
        expected = played.q[begin : begin + length]
        np.testing.assert_allclose(value(one.state.params, row), expected, atol=1e-5)
        history = row.start.history
        emptied = row.replace(start=row.start.replace(history=history.replace(length=0 * history.length)))
        forgot = max(forgot, np.abs(value(one.state.params, emptied) - expected).max())
    # Not trivially so: windows reach back beyond the rows' starts, and rows start and end in different episodes.
    assert forgot > 1e-3
    starts = np.asarray(SCRIPT.is_first)
    assert starts.sum(axis=0).min() >= 2 and not starts[6].any()


def test_a_row_that_may_not_use_its_stored_carry_starts_without_a_past():
    one = learner("li_ma2e")
    core = one.core
    start, _ = core.read(BATCH)
    equal(start, BATCH.start)
    core_of_zeros = type(core)(core.spec, _with_zero_carry(one.config), TRIO)
    start, _ = core_of_zeros.read(BATCH)
    assert not np.any(start.hidden) and not np.any(start.history.length)


def _with_zero_carry(config):
    return dataclasses.replace(config, replay=dataclasses.replace(config.replay, initial_carry="zeros"))


# Who learns from the TD loss, and what the target network believes.


@functools.cache
def _td_gradient(**settings):
    one = learner("li_ma2e", **settings)

    def loss(params):
        start, inputs = one.core.read(BATCH)
        errors, _ = one.core.td_errors(params, one.state.target_params, BATCH, start, inputs)
        return td_loss(errors.team, errors.is_counted)

    return jax.jit(jax.grad(loss))(one.state.params)


def test_the_td_loss_trains_the_auto_encoder_only_if_it_is_told_to():
    apart, jointly = _td_gradient(), _td_gradient(mae_td_gradient_to_mae=True)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(apart["mae"]))
    assert sum(float(np.abs(leaf).sum()) for leaf in jax.tree.leaves(jointly["mae"]["params"])) > 1e-3
    # The attention and its head learn either way, and the same.
    for part in ("agent", "mixer"):
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), apart[part], jointly[part])
    assert all(np.any(leaf) for leaf in jax.tree.leaves(apart["agent"]["params"]["team"]))


@functools.cache
def _both_beliefs(target_copy: bool):
    """Decoded beliefs of the online and the target network, before and after the online auto-encoder moved."""
    one = learner("li_ma2e", mae_target_copy=target_copy)
    start, inputs = one.core.read(BATCH)
    moved = one.state.params | {"mae": noise_like(one.state.params["mae"], 7, 0.4)}
    both = jax.jit(lambda params: one.core.beliefs(params, one.state.target_params, start, inputs))
    return [[beliefs.decoded for beliefs in both(params)] for params in (one.state.params, moved)]


def test_without_a_copy_the_target_network_believes_what_the_online_network_does():
    assert set(learner("li_ma2e", mae_target_copy=False).state.target_params) == {"agent", "mixer"}
    (online, target), (online_moved, target_moved) = _both_beliefs(False)
    equal(online, target)
    equal(online_moved, target_moved)
    assert _differ(online, online_moved)


def test_with_a_copy_the_target_network_keeps_its_beliefs_until_the_next_refresh():
    (online, target), (online_moved, target_moved) = _both_beliefs(True)
    assert _differ(online, online_moved) and _differ(online, target)
    equal(target, target_moved)
    one = learner("li_ma2e", mae_target_copy=True)
    every = one.config.system.target_update_env_steps
    refresh = jax.jit(one.system.after_iteration)
    early = refresh(one.state, counters(0), counters(every - 1))
    equal(early.target_params, one.state.target_params)
    due = refresh(one.state, counters(every - 1), counters(every))
    equal(due.target_params["mae"], one.state.params["mae"])


def _mu(state, label: str):
    return optax.tree.get(state.opt_state.inner_states[label], "mu")


def test_the_auto_encoders_clip_and_rate_are_its_own():
    plain = learner("ma2e", mae_context="off", mae_optimiser="adam")
    # Features of a thousandth of the variance have errors of a thousand times the size.
    mae = plain.state.params["mae"]
    small = mae["scale"] | {"variance": mae["scale"]["variance"] * 1e-3}
    heavy = plain.state.replace(params=plain.state.params | {"mae": mae | {"scale": small}})
    (one, _), (other, seen) = plain.updated(), plain.updated(state=heavy)
    for part in ("agent", "mixer"):
        equal(one.params[part], other.params[part])
        assert _differ(one.params[part], plain.state.params[part])
    equal(one.opt_state.inner_states["td"], other.opt_state.inner_states["td"])
    # Clipped to a norm of 1 of its own: Adam's first moment is a tenth of that.
    np.testing.assert_allclose(optax.tree.norm(_mu(other, "mae")), 0.1, rtol=1e-4)
    assert seen["grad_norm"] > 10
    # Adam's first step is about the rate, in every entry that has a gradient.
    after, before = (state.params["mae"]["params"] for state in (other, heavy))
    change = jax.tree.map(lambda a, b: np.abs(a - b).max(), after, before)
    np.testing.assert_allclose(max(jax.tree.leaves(change)), plain.config.mae.learning_rate, rtol=1e-2)


def test_the_auto_encoders_step_does_not_depend_on_the_td_loss():
    plain = learner("ma2e")
    (one, _), (other, _) = (plain.updated(batch) for batch in (BATCH, BATCH.replace(reward=BATCH.reward + 100.0)))
    equal(one.params["mae"], other.params["mae"])
    assert _differ(one.params["agent"], other.params["agent"])


# Mixers, and the oracle's place beside them.


@pytest.mark.parametrize("mixer", ["vdn", "none"])
@pytest.mark.parametrize("name", ["ma2e", "li_ma2e", "oracle"])
def test_each_context_system_has_the_parts_that_its_mixer_leaves(name, mixer):
    system = build_system(config_of(name, mixer=mixer), TRIO)
    shapes = jax.eval_shape(system.init, KEY)
    parts = {"agent"} | ({"mixer"} if mixer != "none" else set()) | ({"mae"} if name != "oracle" else set())
    assert set(shapes.params) == parts and set(shapes.target_params) == parts - {"mae"}
    # VDN's sum has no parameters; QMIX, the default, has.
    assert not jax.tree.leaves(shapes.params.get("mixer"))
    assert jax.tree.leaves(jax.eval_shape(build_system(config_of(name), TRIO).init, KEY).params["mixer"])


@pytest.mark.parametrize(("name", "mixer"), [("ma2e", "none"), ("li_ma2e", "vdn"), ("oracle", "none")])
def test_an_update_with_another_mixer_is_finite_and_moves_every_part(name, mixer):
    one = learner(name, mixer=mixer)
    after, metrics = one.updated()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after.params, metrics)))
    for part in set(one.state.params) - {"mixer"}:
        assert _differ(after.params[part], one.state.params[part])


def test_the_oracle_spends_the_same_steps_in_every_phase():
    for steps in (0, 700):
        ours, theirs = (
            build_system(config_of(name, mae_pretrain_time_steps=steps), TRIO) for name in ("oracle", "li_ma2e")
        )
        assert [phase[:3] for phase in ours.phases] == [phase[:3] for phase in theirs.phases]
        assert [phase.name for phase in ours.phases] == ["warmup", *(["pretrain"] if steps else []), "train"]
    assert build_system(config_of("oracle"), TRIO).phases[1].learn is None


def test_the_oracle_is_listed_as_not_decentralised(capsys):
    assert main(["list", "systems"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " oracle " in line or "not decentralised" in line]
    assert lines and "oracle" in lines[0] and "not decentralised" in " ".join(lines)
