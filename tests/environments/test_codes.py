"""The game with hidden codes: what agents see, what pays, and what cannot be known."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.config import CodesConfig
from limae_jax.config.codes import CLUES, codes_sizes
from limae_jax.config.fitting import check_fit
from limae_jax.environments import make_env
from limae_jax.errors import InputError

K = 4
CONFIG = CodesConfig(codes=K)
ENV = make_env(CONFIG)
RESET, STEP = jax.jit(ENV.reset), jax.jit(ENV.step)
NOTHING = jnp.zeros(2, jnp.int32)


def _episode(seed, last_action=None):
    """Timesteps of an episode, and the codes; the last action is a function of the codes."""
    key = jax.random.key(seed)
    state, timestep = RESET(key)
    code, seen = np.asarray(state.code), [timestep]
    for step in range(CLUES + 1):
        action = NOTHING if step < CLUES or last_action is None else jnp.asarray(last_action(code), jnp.int32)
        state, timestep = STEP(state, action, key)
        seen.append(timestep)
    return seen, code, float(ENV.outcome(state)["optimum"])


def _split(obs):
    return obs[:K], obs[K : 2 * K], obs[2 * K :]


@pytest.mark.parametrize("seed", range(5))
def test_clues_add_up_to_the_team_mates_code_and_the_own_code_is_always_seen(seed):
    seen, code, _ = _episode(seed)
    for agent in range(2):
        own, clues, steps = zip(*(_split(np.asarray(one.obs[agent])) for one in seen), strict=True)
        assert all(np.argmax(x) == code[agent] and x.sum() == 1 for x in own)
        assert sum(np.argmax(x) for x in clues[:CLUES]) % K == code[1 - agent]
        assert not np.any(clues[CLUES:])
        np.testing.assert_array_equal(steps, np.eye(CLUES + 2)[:, : CLUES + 1])


def test_a_single_clue_tells_nothing():
    counts = [collections.Counter() for _ in range(CLUES)]
    states = jax.vmap(ENV.reset)(jax.random.split(jax.random.key(1), 8000))[0]
    code, clues = np.asarray(states.code), np.asarray(states.clues)
    for step in range(CLUES):
        counts[step].update(zip(clues[:, 0, step].tolist(), code[:, 1].tolist(), strict=True))
        share = np.array([counts[step][a, b] for a in range(K) for b in range(K)]) / len(code)
        # Four standard deviations of a share of 1/16.
        np.testing.assert_allclose(share, 1 / K**2, atol=4 * np.sqrt(1 / K**2 / len(code)))


@pytest.mark.parametrize(
    ("name", "reward", "optimum"),
    [
        (lambda code: code[::-1], 1.0, 1.0),
        (lambda code: [code[1], (code[0] + 1) % K], 0.5, 0.0),
        (lambda code: (code[::-1] + 1) % K, 0.0, 0.0),
    ],
)
def test_the_last_action_pays_the_share_of_agents_that_are_right(name, reward, optimum):
    for seed in range(4):
        seen, _, found = _episode(seed, name)
        assert [float(one.reward) for one in seen] == [0.0] * (CLUES + 1) + [reward]
        assert found == optimum
        assert [bool(one.terminal) for one in seen] == [False] * (CLUES + 1) + [True]
        assert not any(bool(one.truncated) for one in seen)
        assert [bool(one.is_first) for one in seen] == [True] + [False] * (CLUES + 1)


def test_earlier_actions_have_no_effect():
    state, _ = RESET(jax.random.key(3))
    one, seen = STEP(state, state.code[::-1], jax.random.key(0))
    other, seen_too = STEP(state, state.code, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, (one, seen), (other, seen_too))


def test_the_state_has_both_codes():
    seen, code, _ = _episode(2)
    expected = np.concatenate([np.eye(K)[code].ravel(), [1, 0, 0]])
    np.testing.assert_array_equal(seen[0].state, expected)


def test_sizes_and_fit():
    assert codes_sizes(CONFIG) == (2, ENV.spec.obs_size, ENV.spec.state_size, K, CLUES + 1)
    check_fit(CONFIG, CONFIG)
    with pytest.raises(InputError, match="same team sizes"):
        check_fit(CONFIG, CodesConfig(codes=K + 1))


@pytest.mark.parametrize(("field", "value"), [("codes", 1), ("codes", 65), ("scenario", "product")])
def test_bad_settings_are_refused(field, value):
    with pytest.raises(InputError, match=rf"env\.{field}={value}: "):
        CodesConfig(**{field: value})
