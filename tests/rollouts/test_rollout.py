from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import CountingEnv, noise_like, tiny_config

from limae_jax.environments.vector import VectorEnv
from limae_jax.rollouts.rollout import collect_rows, init_rollout
from limae_jax.systems.build import build_system

ENV, NUM_ENVS, ROW_LENGTH, NUM_ROLLOUTS = CountingEnv(), 4, 7, 4


class Played(NamedTuple):
    """Rollouts in a row: `starts[k]` and `ends[k]` around `rows[k]`, of which `sums[k]` tells."""

    params: Any
    starts: list
    rows: list
    sums: list
    system: Any


@pytest.fixture(scope="module")
def played() -> Played:
    system, env = build_system(tiny_config("vdn"), ENV.spec), VectorEnv(ENV, NUM_ENVS)
    params = noise_like(jax.eval_shape(system.init, jax.random.key(0)).params, seed=0, scale=0.4)

    @jax.jit
    def collect(state, keys):
        return collect_rows(env, system, params, state, jnp.asarray(0.5), ROW_LENGTH, keys[0], keys[1])

    state, result = init_rollout(env, system, jax.random.key(1)), Played(params, [], [], [], system)
    for keys in jax.random.split(jax.random.key(2), (NUM_ROLLOUTS, 2)):
        result.starts.append(jax.tree.map(np.asarray, state))
        state, rows, sums = collect(state, keys)
        result.rows.append(jax.tree.map(np.asarray, rows))
        result.sums.append({name: value.item() for name, value in sums.items()})
    result.starts.append(jax.tree.map(np.asarray, state))
    return result


def _stream(played: Played, name: str) -> np.ndarray:
    """A field of all rows one after the other, each without its last slot: [NUM_ROLLOUTS * ROW_LENGTH, B, ...]."""
    return np.concatenate([getattr(rows, name)[:-1] for rows in played.rows])


def _script_and_step(played: Played) -> tuple[np.ndarray, np.ndarray]:
    obs = _stream(played, "obs")[:, :, 0].astype(int)
    return obs[..., 0], obs[..., 1]


def test_slots_follow_the_script(played):
    """Step by step as the environment tells in its observations; after the final one comes a first one."""
    script, step = _script_and_step(played)
    length = np.asarray(ENV.lengths)[script]
    is_last = step == length
    np.testing.assert_array_equal(_stream(played, "filled"), ~is_last)
    np.testing.assert_array_equal(_stream(played, "is_first"), step == 0)
    np.testing.assert_array_equal(step[1:], np.where(is_last[:-1], 0, step[:-1] + 1))
    np.testing.assert_array_equal(script[1:][~is_last[:-1]], script[:-1][~is_last[:-1]])
    # Every script is met, so wins and limits both are.
    assert set(np.unique(script[is_last])) == {0, 1, 2}


def test_endings_belong_to_the_slot_that_the_step_was_taken_from(played):
    script, step = _script_and_step(played)
    is_end, is_won = step == np.asarray(ENV.lengths)[script] - 1, np.asarray(ENV.is_won)[script]
    np.testing.assert_array_equal(_stream(played, "terminal"), is_end & is_won)
    np.testing.assert_array_equal(_stream(played, "truncated"), is_end & ~is_won)


def test_reward_belongs_to_the_slot_that_the_action_was_taken_from(played):
    _, step = _script_and_step(played)
    action, filled = _stream(played, "action"), _stream(played, "filled")
    expected = np.where(filled, 1.0 + step + 0.1 * action[..., 0] + 0.01 * action[..., 1], 0.0)
    np.testing.assert_allclose(_stream(played, "reward"), expected, rtol=1e-6)


def test_what_is_seen_before_the_action_is_stored_with_it(played):
    script, step = _script_and_step(played)
    np.testing.assert_array_equal(_stream(played, "state"), np.stack([script, step], axis=-1))
    avail, action = _stream(played, "avail"), _stream(played, "action")
    for agent in (0, 1):
        np.testing.assert_array_equal(avail[:, :, agent], np.arange(3) != ((step + agent) % 3)[..., None])
    assert np.take_along_axis(avail, action[..., None], axis=-1).all()
    np.testing.assert_array_equal(_stream(played, "alive")[..., 1], step < 2)


def test_the_last_slot_is_the_next_rows_first_and_counts_for_nothing(played):
    for rows, following in zip(played.rows[:-1], played.rows[1:], strict=True):
        for name in ("obs", "state", "avail", "alive", "is_first"):
            np.testing.assert_array_equal(getattr(rows, name)[-1], getattr(following, name)[0])
    for rows in played.rows:
        assert rows.obs.shape[:2] == (ROW_LENGTH + 1, NUM_ENVS)
        for name in ("filled", "terminal", "truncated", "reward", "action"):
            assert not getattr(rows, name)[-1].any()


def test_rows_store_the_acting_carry_they_start_from(played):
    for rows, start in zip(played.rows, played.starts[:-1], strict=True):
        jax.tree.map(np.testing.assert_array_equal, rows.start, start.carry)
    # Not trivially so: later rows start in the middle of episodes, with a state.
    assert np.abs(played.rows[1].start.hidden).max() > 0
    np.testing.assert_array_equal(played.rows[1].start.last_action, played.rows[0].action[-2])


def test_carry_is_that_of_acting_through_the_stored_slots(played):
    act = jax.jit(played.system.act)
    carry = played.starts[0].carry
    for k, rows in enumerate(played.rows):
        for t in range(ROW_LENGTH):
            timestep = played.starts[0].timestep.replace(
                obs=rows.obs[t], state=rows.state[t], avail=rows.avail[t], is_first=rows.is_first[t]
            )
            carry = act(played.params, carry, timestep, 0.0, jax.random.key(0)).carry
            carry = carry.replace(last_action=rows.action[t])
        np.testing.assert_allclose(carry.hidden, played.starts[k + 1].carry.hidden, atol=1e-5)


def test_sums_count_real_steps_and_finished_episodes(played):
    returns = np.zeros(NUM_ENVS)
    for rows, sums, end in zip(played.rows, played.sums, played.starts[1:], strict=True):
        finished = []
        for t in range(ROW_LENGTH):
            returns = np.where(rows.is_first[t], 0.0, returns) + rows.reward[t]
            finished += returns[rows.terminal[t] | rows.truncated[t]].tolist()
        assert sums["env_steps"] == rows.filled.sum() < ROW_LENGTH * NUM_ENVS
        assert sums["episodes"] == len(finished)
        np.testing.assert_allclose(sums["episode_return"], sum(finished), rtol=1e-5)
        # Where the next episode has just begun, the running return starts again at 0.
        np.testing.assert_allclose(end.episode_return, np.where(rows.is_first[-1], 0.0, returns), rtol=1e-5)
