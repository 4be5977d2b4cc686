import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from limae_jax.systems.acting import epsilon_greedy, policy_action, random_action

act = jax.jit(epsilon_greedy)
AVAIL = np.array([[True, True, True, True], [False, True, False, True], [False, False, True, False]])
Q = np.array([[0.0, 9.0, 1.0, 2.0], [99.0, -7.0, 99.0, -8.0], [99.0, 99.0, -1e4, 99.0]], np.float32)
GREEDY = [1, 1, 2]
MANY = 4000


def _draws(epsilon: float, seed: int = 0) -> np.ndarray:
    """[MANY, A] actions of as many independent teams."""
    q, avail = (np.broadcast_to(x, (MANY, *x.shape)) for x in (Q, AVAIL))
    return np.asarray(act(q, avail, epsilon, jax.random.key(seed)))


def test_epsilon_one_is_uniform_over_legal_actions():
    actions = _draws(1.0)
    for agent, legal in enumerate(AVAIL):
        counts = np.bincount(actions[:, agent], minlength=4)
        assert not counts[~legal].any()
        assert stats.chisquare(counts[legal]).pvalue > 1e-3 if legal.sum() > 1 else counts[legal] == MANY


def test_epsilon_zero_is_greedy_whatever_the_key():
    for seed in range(20):
        np.testing.assert_array_equal(act(Q, AVAIL, 0.0, jax.random.key(seed)), GREEDY)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_actions_are_legal(epsilon):
    actions = _draws(epsilon, seed=1)
    assert AVAIL[np.arange(3), actions].all()
    assert actions.dtype == np.int32


def test_each_agent_flips_its_own_coin():
    # Two agents with 50 legal actions each, of which the greedy one is 0: almost every random action differs from it.
    q, avail = np.zeros((MANY, 2, 50), np.float32), np.ones((MANY, 2, 50), bool)
    q[..., 0] = 1.0
    explores = np.asarray(act(q, avail, 0.5, jax.random.key(2))) != 0
    table = np.array([[np.sum((explores[:, 0] == a) & (explores[:, 1] == b)) for b in (0, 1)] for a in (0, 1)])
    assert stats.chi2_contingency(table).pvalue > 1e-3
    np.testing.assert_allclose(explores.mean(axis=0), 0.5 * 49 / 50, atol=0.04)


def test_whether_and_where_to_explore_are_independent():
    # With one draw for both, a small epsilon would only ever reach the first actions.
    q, avail = np.zeros((MANY, 1, 4), np.float32), np.ones((MANY, 1, 4), bool)
    q[..., 0] = 1.0
    actions = np.asarray(act(q, avail, 0.25, jax.random.key(3)))
    counts = np.bincount(actions[:, 0], minlength=4)[1:]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_random_action_at_the_ends_of_the_draw():
    avail = jnp.asarray(AVAIL)
    np.testing.assert_array_equal(random_action(avail, jnp.zeros(3)), [0, 1, 2])
    np.testing.assert_array_equal(
        random_action(avail, jnp.full(3, np.nextafter(np.float32(1), np.float32(0)))), [3, 3, 2]
    )
    np.testing.assert_array_equal(random_action(avail, jnp.ones(3)), [3, 3, 2])


def test_a_policy_is_greedy_uniform_or_sampled():
    avail = np.tile([True, False, True, True], (20_000, 1))
    probabilities = np.array([0.2, 0.0, 0.7, 0.1])
    log_probs = np.where(avail, np.log(np.maximum(probabilities, 1e-30)), -1e9)
    for exploration, expected in ((0.0, [0, 0, 1, 0]), (0.5, probabilities), (1.0, [1 / 3, 0, 1 / 3, 1 / 3])):
        action = policy_action(log_probs, avail, exploration, jax.random.key(3))
        assert action.dtype == np.int32
        shares = np.bincount(np.asarray(action), minlength=4) / len(avail)
        # Four standard deviations of a share are at most 0.015.
        np.testing.assert_allclose(shares, expected, atol=0.015)
        assert shares[1] == 0
