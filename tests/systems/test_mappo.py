"""MAPPO and IPPO in the learner, on rows that they played themselves: wins, time limits, deaths, rows cut anywhere."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import CountingEnv, counters, noise_like
from reference import lambda_returns

from limae_jax.config import SYSTEM_CONFIGS, SmaxConfig, TrainConfig
from limae_jax.config.run import ReplayConfig
from limae_jax.environments.vector import VectorEnv
from limae_jax.errors import InputError
from limae_jax.losses.value_norm import ValueNorm
from limae_jax.networks.agent import AgentInputs
from limae_jax.replay.base import take_rows
from limae_jax.rollouts.rollout import collect_rows, init_rollout
from limae_jax.systems.build import build_system
from limae_jax.systems.ppo import VALUE_NORM, PpoCore
from limae_jax.types import ActionSpec, Rows, Sample

pytestmark = pytest.mark.slow

KEY, SAMPLING, ENVS, LENGTH = jax.random.key(7), 0.5, 6, 10
ENV = VectorEnv(CountingEnv(), ENVS)
CRITICS = {"central": ("mappo", {}), "shared": ("ippo", {}), "own": ("ippo", {"critic": "own"})}
every_critic = pytest.mark.parametrize("critic", CRITICS)


class Played(NamedTuple):
    """A learner, and three rows in turn: the second is of other parameters than the first, the third of them too.

    The critic's statistics are those of some returns.
    """

    core: PpoCore
    learn: Any
    state: Any
    first: Rows
    second: Rows
    third: Rows


@functools.cache
def played(critic: str, **changes) -> Played:
    name, chosen = CRITICS[critic]
    settings = {"hidden_size": 8, "learning_rate": 0.01, "gamma": 0.9, "reward_scale": 0.5, "max_grad_norm": 1e3}
    system = SYSTEM_CONFIGS[name](**(settings | chosen | changes))
    config = TrainConfig(env=SmaxConfig(num_envs=ENVS), system=system, replay=ReplayConfig(row_length=LENGTH))
    built, core = build_system(config, ENV.spec), PpoCore(config, ENV.spec, critic)
    state = jax.jit(built.init)(KEY)
    older, newer = (noise_like(state.params, seed, scale=0.4) for seed in (1, 2))
    if system.value_norm:
        seen = ValueNorm(jnp.float32(1.0), jnp.float32(2.5), jnp.float32(0.5))
        state = state.replace(auxiliary={VALUE_NORM: seen})
    keys = jax.random.split(KEY, 7)
    rollout, rows = init_rollout(ENV, built, keys[6]), []
    collect = jax.jit(
        lambda params, rollout, *keys: collect_rows(ENV, built, params, rollout, SAMPLING, LENGTH, *keys)[:2]
    )
    for params, *pair in zip((older, newer, newer), keys[:3], keys[3:6], strict=True):
        rollout, found = collect(params, rollout, *pair)
        rows.append(found)
    return Played(core, built.phases[-1].learn, state.replace(params=newer), *rows)


@functools.cache
def _prepare(critic: str):
    return jax.jit(played(critic).learn.prepare)


@functools.cache
def _update(critic: str, **changes):
    update = played(critic, **changes).learn.update
    return jax.jit(lambda state, rows, env_steps=0: update(state, Sample(rows), counters(env_steps), KEY))


@functools.cache
def _unroll(critic: str):
    core = played(critic).core
    return jax.jit(lambda params, rows: core.unroll(params, rows.start.hidden, AgentInputs.of_rows(rows), rows.state))


@functools.cache
def prepared(critic: str) -> Rows:
    one = played(critic)
    return _prepare(critic)(one.state, one.second)


def counted(rows: Rows) -> np.ndarray:
    return np.asarray(rows.filled[..., None] & rows.alive)


def garbage(rows: Rows, seed: int = 0) -> Rows:
    """Rows with noise in all that must not count: the dead, and slots without a step."""
    generator, counts, filled = np.random.default_rng(seed), counted(rows), np.asarray(rows.filled)

    def noisy(x, where):
        x = np.asarray(x)
        where = where.reshape(where.shape + (1,) * (x.ndim - where.ndim))
        return np.where(where, x, x + generator.normal(size=x.shape).astype(x.dtype) * 50)

    other = (np.asarray(rows.action) + generator.integers(1, 3, size=counts.shape)) % 3
    return rows.replace(
        obs=noisy(rows.obs, counts),
        state=noisy(rows.state, filled),
        reward=noisy(rows.reward, filled),
        action=np.where(counts, rows.action, other).astype(np.int32),
        avail=np.where(counts[..., None], rows.avail, generator.random((*counts.shape, 3)) < 0.5),
        extras={name: noisy(x, counts) for name, x in rows.extras.items()},
    )


def test_the_rows_have_every_kind_of_boundary():
    rows = played("central").second
    inside = np.asarray(rows.filled)[:-1]
    assert np.asarray(rows.terminal).any() and np.asarray(rows.truncated).any() and not inside.all()
    goes_on = np.asarray(rows.filled & ~rows.is_first)[0]
    assert goes_on.any() and not goes_on.all() and not np.asarray(rows.alive).all()


@every_critic
def test_a_row_replayed_from_its_start_has_the_probabilities_it_was_played_with(critic):
    one, rows = played(critic), prepared(critic)
    few = take_rows(rows, jnp.array([4, 1, 2, 5, 0]))
    step = _update(critic)(one.state, few)
    assert float(step.metrics["approx_kl"]) == pytest.approx(0.0, abs=1e-6) and step.metrics["clip_share"] == 0
    # So the loss of the policy is minus the mean advantage.
    mean = np.asarray(few.extras["advantage"])[counted(few)].mean()
    assert float(step.metrics["policy_loss"]) == pytest.approx(-mean, abs=1e-5)
    again = _update(critic)(step.state, few)
    assert abs(float(again.metrics["approx_kl"])) > 1e-5
    without_start = few.replace(start=jax.tree.map(jnp.zeros_like, few.start))
    assert float(_update(critic)(one.state, without_start).metrics["approx_kl"]) > 1e-5


@every_critic
def test_recurrent_states_are_those_of_the_parameters_that_acted(critic):
    one = played(critic)
    rows = jax.tree.map(lambda x: x[:-1], one.second.replace(start=()))
    hidden, _, _ = _unroll(critic)(one.state.params, rows.replace(start=one.second.start))
    assert set(hidden) == ({"agent"} if critic == "shared" else {"agent", "critic"})
    for part, states in hidden.items():
        np.testing.assert_allclose(one.third.start.hidden[part], states, rtol=1e-4, atol=1e-5)
        # The second row starts from the states of the first one's parameters, not of its own.
        before = jax.tree.map(lambda x: x[:-1], one.first.replace(start=()))
        other, _, _ = _unroll(critic)(one.state.params, before.replace(start=one.first.start))
        assert np.abs(other[part] - one.second.start.hidden[part]).max() > 1e-2


@every_critic
def test_what_is_prepared_follows_from_its_definition(critic):
    """Lambda-returns of scaled rewards and denormalised values by brute force; the dead have the living's values."""
    one, rows = played(critic), prepared(critic)
    _, _, value = _unroll(critic)(one.state.params, one.second)
    np.testing.assert_allclose(rows.extras["value"], value, rtol=1e-4, atol=1e-5)
    # Mean 2 and mean square 5: the deviation is 1.
    scaled, alive = np.asarray(value) + 2.0, np.asarray(rows.alive)
    assert alive[..., 0].all()  # in this game only agent 1 dies
    scaled[..., 1] = np.where(alive[..., 1], scaled[..., 1], scaled[..., 0])
    flags = (np.asarray(x) for x in (rows.terminal, rows.filled))
    terminal, filled = flags
    expected = np.stack(
        [
            [
                lambda_returns(
                    0.5 * np.asarray(rows.reward)[:, b], terminal[:, b], filled[:, b], scaled[:, b, i], 0.9, 0.95
                )
                for i in range(2)
            ]
            for b in range(ENVS)
        ]
    ).transpose(2, 0, 1)
    counts = counted(rows)
    np.testing.assert_allclose(np.asarray(rows.extras["target"])[counts], expected[counts], rtol=1e-4, atol=1e-4)
    raw = (expected - scaled)[counts]
    shown = np.asarray(rows.extras["advantage"])
    np.testing.assert_allclose(shown[counts], (raw - raw.mean()) / raw.std(), rtol=1e-3, atol=1e-3)
    assert (shown[~counts] == 0).all()


@every_critic
def test_the_dead_and_final_observations_do_not_enter_a_step(critic):
    one, rows = played(critic), prepared(critic)
    plain, other = (_update(critic)(one.state, x) for x in (rows, garbage(rows)))
    jax.tree.map(np.testing.assert_array_equal, plain, other)
    changed = jax.tree.map(lambda new, old: np.abs(new - old).max(), plain.state.params, one.state.params)
    assert all(change > 0 for change in jax.tree.leaves(changed))


@every_critic
def test_the_dead_and_lost_games_do_not_enter_what_is_prepared(critic):
    """Only the last observation before a bootstrap counts beside what was played."""
    one, rows = played(critic), played(critic).second
    is_last = np.zeros_like(rows.filled)
    is_last[1:] = np.asarray(rows.truncated)[:-1]
    is_last[-1] = ~np.asarray(rows.terminal)[-2]
    noise = garbage(rows)
    mixed = noise.replace(
        obs=np.where((is_last[..., None] & np.asarray(rows.alive))[..., None], rows.obs, noise.obs),
        state=np.where(is_last[..., None], rows.state, noise.state),
        extras=rows.extras,
    )
    counts = counted(rows)
    for name in ("value", "advantage", "target"):
        plain, other = (np.asarray(_prepare(critic)(one.state, x).extras[name]) for x in (rows, mixed))
        np.testing.assert_array_equal(plain[counts], other[counts])
    # The observation after a time limit does count, so this could have failed.
    bootstrapped = rows.replace(obs=np.where(is_last[..., None, None], rows.obs + 5.0, rows.obs))
    plain, other = (np.asarray(_prepare(critic)(one.state, x).extras["target"]) for x in (rows, bootstrapped))
    assert np.abs(plain[counts] - other[counts]).max() > 1e-3


@every_critic
def test_policies_are_decentralised_and_only_the_central_critic_reads_the_state(critic):
    one, rows = played(critic), prepared(critic)
    _, logits, value = _unroll(critic)(one.state.params, rows)
    _, other_logits, other_value = _unroll(critic)(one.state.params, rows.replace(state=rows.state * 3 - 1))
    np.testing.assert_array_equal(logits, other_logits)
    assert np.array_equal(value, other_value) == (critic != "central")
    obs = np.asarray(rows.obs).copy()
    obs[:, :, 1] += 1.0
    _, other_logits, other_value = _unroll(critic)(one.state.params, rows.replace(obs=obs))
    np.testing.assert_array_equal(logits[:, :, 0], other_logits[:, :, 0])
    np.testing.assert_array_equal(value[:, :, 0], other_value[:, :, 0])
    assert not np.array_equal(logits[:, :, 1], other_logits[:, :, 1])


def test_the_state_does_not_enter_the_policys_gradient():
    one, rows = played("central"), prepared("central")
    core, target = one.core, rows.extras["target"]
    gradient = jax.jit(jax.grad(lambda params, rows: core.loss(params, rows, target)[0]))
    plain, other = (gradient(one.state.params, x) for x in (rows, rows.replace(state=rows.state * 3 - 1)))
    jax.tree.map(np.testing.assert_array_equal, plain["agent"], other["agent"])
    assert not np.array_equal(
        plain["critic"]["params"]["value"]["kernel"], other["critic"]["params"]["value"]["kernel"]
    )


def test_the_statistics_include_the_returns_that_they_normalise():
    one, rows = played("central"), prepared("central")
    fresh = one.state.replace(auxiliary={VALUE_NORM: ValueNorm.start()})
    step, counts = _update("central")(fresh, rows), counted(rows)
    target = np.asarray(rows.extras["target"])[counts]
    mean, deviation = step.state.auxiliary[VALUE_NORM].moments()
    assert float(mean) == pytest.approx(target.mean(), rel=1e-4)
    assert float(deviation) == pytest.approx(target.std(), rel=1e-3)
    # In the first step the value is still the old one, so its clip does nothing.
    error = np.asarray(rows.extras["value"])[counts] - (target - target.mean()) / target.std()
    assert float(step.metrics["value_loss"]) == pytest.approx(np.mean(error**2) / 2, rel=1e-3)


def test_without_normalisation_the_critic_predicts_the_scaled_return():
    one = played("own", value_norm=False)
    assert one.state.auxiliary == {}
    rows = jax.jit(one.learn.prepare)(one.state, one.second)
    step, counts = _update("own", value_norm=False)(one.state, rows), counted(rows)
    error = (np.asarray(rows.extras["value"]) - np.asarray(rows.extras["target"]))[counts]
    assert float(step.metrics["value_loss"]) == pytest.approx(np.mean(error**2) / 2, rel=1e-3)


def test_the_step_size_falls_with_the_environment_steps():
    settings = {"learning_rate_left": 0.1, "learning_rate_decay_env_steps": 1000}
    one, update = played("shared", **settings), _update("shared", **settings)
    rows, sizes = prepared("shared"), []
    for env_steps in (0, 500, 1000, 50_000):
        after = update(one.state, rows, env_steps).state.params
        sizes.append(max(np.abs(x).max() for x in jax.tree.leaves(jax.tree.map(jnp.subtract, after, one.state.params))))
    np.testing.assert_allclose(np.array(sizes) / sizes[0], [1.0, 0.55, 0.1, 0.1], rtol=1e-3)


def test_policy_and_critic_are_clipped_apart():
    """A critic's gradient of any size leaves the policy's step as it is."""
    steps = []
    for weight in (0.5, 500.0):
        settings = {"max_grad_norm": 1e-3, "value_weight": weight}
        steps.append(_update("own", **settings)(played("own").state, prepared("own")))
    jax.tree.map(np.testing.assert_array_equal, *(step.state.params["agent"] for step in steps))
    assert float(steps[1].grad_norm) > 10 * float(steps[0].grad_norm)


def test_actions_that_are_vectors_are_refused():
    spec = CountingEnv.spec.__class__("reach", "reach", 2, 3, 2, ActionSpec(3, (-1.0, 1.0)), 5)
    for name in ("mappo", "ippo"):
        with pytest.raises(InputError, match=rf"^system={name}: needs discrete actions, and those of env=reach are"):
            build_system(TrainConfig(system=SYSTEM_CONFIGS[name]()), spec)
