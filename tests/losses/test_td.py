import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import marks, random_marks
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import lambda_returns

from limae_jax.losses.td import (
    agent_td_errors,
    bootstrap_action,
    choose,
    greedy_action,
    masked_mean,
    td_lambda_targets,
    td_loss,
)

GAMMA = 0.9
LAMBDAS = (0.0, 0.6, 1.0)
NUM_SLOTS = 13

targets_of = jax.jit(td_lambda_targets)

# A won episode, a truncated one, and the beginning of a third that the row's end cuts off.
MIXED = marks([(3, True), (4, False), (9, True)], NUM_SLOTS)
ROWS = {
    "win in the middle": marks([(5, True), (20, True)], NUM_SLOTS),
    "limit in the middle": marks([(5, False), (20, True)], NUM_SLOTS),
    "win, limit, row end": MIXED,
    "row ends with a step": marks([(20, True)], NUM_SLOTS, skip=4),
    "row ends with a final observation": marks([(NUM_SLOTS - 1, False)], NUM_SLOTS),
    "row ends with a win": marks([(NUM_SLOTS - 1, True)], NUM_SLOTS),
    "row ends with a first observation": marks([(NUM_SLOTS - 2, False)], NUM_SLOTS),
    "row begins with a final observation": marks([(4, True), (6, False)], NUM_SLOTS, skip=4),
    "episodes of one step": marks([(1, True), (1, False)], NUM_SLOTS),
}


def _noise(seed: int, shape=(NUM_SLOTS,)) -> tuple[np.ndarray, np.ndarray]:
    reward, value = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32) * 5
    return reward, value


def _brute_force(reward, flags, value, td_lambda):
    return lambda_returns(reward, flags["terminal"], flags["filled"], value, GAMMA, td_lambda)


def _agree(targets, flags, expected) -> bool:
    filled = flags["filled"]
    return np.allclose(np.asarray(targets)[filled], expected[filled], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("td_lambda", LAMBDAS)
@pytest.mark.parametrize("name", ROWS)
def test_targets_equal_the_mixture_of_n_step_returns(name, td_lambda):
    flags, (reward, value) = ROWS[name], _noise(1)
    targets = targets_of(reward, flags["terminal"], flags["filled"], value, GAMMA, td_lambda)
    assert _agree(targets, flags, _brute_force(reward, flags, value, td_lambda))
    assert targets[-1] == 0


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), gamma=st.floats(0, 1), td_lambda=st.floats(0, 1))
def test_targets_of_random_rows(seed, gamma, td_lambda):
    generator = np.random.default_rng(seed)
    flags, (reward, value) = random_marks(generator, NUM_SLOTS), _noise(seed + 1)
    targets = targets_of(reward, flags["terminal"], flags["filled"], value, gamma, td_lambda)
    expected = lambda_returns(reward, flags["terminal"], flags["filled"], value, gamma, td_lambda)
    assert _agree(targets, flags, expected)


@pytest.mark.parametrize(
    "td_lambda, expected",
    [
        # Win after two steps, rewards 1 and 2; then one step of reward 4 up to the limit, whose last value is 10.
        (0.0, [1 + 0.9 * 5, 2, 4 + 0.9 * 10]),
        (0.6, [1 + 0.9 * (0.4 * 5 + 0.6 * 2), 2, 4 + 0.9 * 10]),
        (1.0, [1 + 0.9 * 2, 2, 4 + 0.9 * 10]),
    ],
)
def test_toy_row_by_hand(td_lambda, expected):
    flags = marks([(2, True), (1, False)], 5)
    reward = jnp.asarray([1.0, 2.0, 99.0, 4.0, 99.0])
    value = jnp.asarray([99.0, 5.0, 99.0, 99.0, 10.0])
    targets = targets_of(reward, flags["terminal"], flags["filled"], value, 0.9, td_lambda)
    np.testing.assert_allclose(targets[np.array([0, 1, 3])], expected, rtol=1e-6)


@pytest.mark.parametrize("td_lambda", LAMBDAS)
def test_two_episodes_in_a_row_equal_the_episodes_alone(td_lambda):
    lengths, (reward, value) = (3, 4), _noise(2)
    together = targets_of(reward, MIXED["terminal"], MIXED["filled"], value, GAMMA, td_lambda)
    begin = 0
    for length, is_won in zip(lengths, (True, False), strict=True):
        alone, slots = marks([(length, is_won)], length + 1), slice(begin, begin + length + 1)
        targets = targets_of(reward[slots], alone["terminal"], alone["filled"], value[slots], GAMMA, td_lambda)
        np.testing.assert_allclose(together[begin : begin + length], targets[:-1], rtol=1e-6)
        begin += length + 1


@pytest.mark.parametrize("td_lambda", LAMBDAS)
@pytest.mark.parametrize("name", ROWS)
def test_what_is_in_slots_that_do_not_count_changes_nothing(name, td_lambda):
    flags, (reward, value) = ROWS[name], _noise(3)
    filled, terminal = flags["filled"], flags["terminal"]
    before = targets_of(reward, terminal, filled, value, GAMMA, td_lambda)
    # A value is read where the step before was real and not the last of a won episode.
    is_read = np.concatenate([[False], (filled & ~terminal)[:-1]])
    reward, value = np.where(filled, reward, 1e6), np.where(is_read, value, -1e6)
    after = targets_of(reward.astype(np.float32), terminal, filled, value.astype(np.float32), GAMMA, td_lambda)
    np.testing.assert_array_equal(before[filled], after[filled])


@pytest.mark.parametrize("td_lambda", LAMBDAS)
def test_the_last_slot_never_counts_as_a_step(td_lambda):
    """Nothing follows it, so the step before bootstraps from its value even if it is marked as filled."""
    flags, (reward, value) = ROWS["row ends with a step"], _noise(8)
    expected = targets_of(reward, flags["terminal"], flags["filled"], value, GAMMA, td_lambda)
    all_filled = np.append(flags["filled"][:-1], True)
    np.testing.assert_array_equal(targets_of(reward, flags["terminal"], all_filled, value, GAMMA, td_lambda), expected)


def _plain_recursion(reward, flags, value, td_lambda, terminal=None, cut=None, ahead=1):
    """The recursion with knobs to break it: another terminal flag, other places to cut, another slot's value."""
    terminal = flags["terminal"] if terminal is None else terminal
    goes_on = np.append(flags["filled"][1:-1], [False, False]) if cut is None else ~cut
    targets, value = np.zeros(len(reward)), np.append(value, [0.0, 0.0])
    for t in reversed(range(len(reward) - 1)):
        mix = td_lambda if goes_on[t] else 0.0
        bootstrap = (1 - mix) * value[t + ahead] + mix * targets[t + 1]
        targets[t] = reward[t] + GAMMA * (1 - terminal[t]) * bootstrap
    return targets


def test_the_comparison_catches_the_usual_mistakes():
    (reward, value), flags = _noise(4), MIXED
    expected = _brute_force(reward, flags, value, 0.6)
    assert _agree(_plain_recursion(reward, flags, value, 0.6), flags, expected)
    broken = {
        "terminal of the step before": {"terminal": np.roll(flags["terminal"], 1)},
        "terminal of the step after": {"terminal": np.roll(flags["terminal"], -1)},
        "truncation as terminal": {"terminal": flags["terminal"] | flags["truncated"]},
        "no cut at a truncation": {"cut": np.arange(NUM_SLOTS) == NUM_SLOTS - 2},
        "no cut at the row's end": {"cut": flags["truncated"]},
        "cut one step early": {"cut": np.append(~flags["filled"][2:], [True, True])},
        "value of the slot itself": {"ahead": 0},
        "value of the next episode": {"ahead": 2},
    }
    missed = [
        name
        for name, knobs in broken.items()
        if _agree(_plain_recursion(reward, flags, value, 0.6, **knobs), flags, expected)
    ]
    assert not missed


def test_agents_of_one_row_do_not_touch_each_other():
    reward, value = _noise(5, (NUM_SLOTS, 2, 3))
    terminal, filled = (np.broadcast_to(MIXED[name][:, None, None], reward.shape) for name in ("terminal", "filled"))
    targets = targets_of(reward, terminal, filled, value, GAMMA, 0.6)
    for b, a in np.ndindex(2, 3):
        assert _agree(targets[:, b, a], MIXED, _brute_force(reward[:, b, a], MIXED, value[:, b, a], 0.6))


def test_masked_mean_weights_and_empty():
    values, filled = jnp.asarray([[1.0, 2.0], [3.0, 50.0]]), jnp.asarray([[True, True], [True, False]])
    assert masked_mean(values, filled) == 2.0
    # One weight a row (second axis): 1 * 2 + 3 * 2 + 2 * 0.5 over three slots.
    np.testing.assert_allclose(masked_mean(values, filled, jnp.asarray([2.0, 0.5])), 3.0, rtol=1e-6)
    assert masked_mean(values, jnp.zeros_like(filled)) == 0.0


@pytest.mark.parametrize("mean", [masked_mean, td_loss])
def test_nan_where_nothing_is_filled_stays_out_of_value_and_gradient(mean):
    filled = jnp.asarray([True, False, True])
    clean, dirty = jnp.asarray([1.0, 7.0, 2.0]), jnp.asarray([1.0, jnp.nan, 2.0])
    value, grad = jax.value_and_grad(mean)(clean, filled)
    value_nan, grad_nan = jax.value_and_grad(mean)(dirty, filled)
    assert value == value_nan and np.isfinite(value)
    np.testing.assert_array_equal(grad, grad_nan)
    assert grad[1] == 0


def test_td_loss_is_half_the_mean_square():
    assert td_loss(jnp.asarray([2.0, -4.0, 9.0]), jnp.asarray([True, True, False])) == (2.0 + 8.0) / 2


def test_choose_and_its_gradient():
    q, action = jnp.arange(12.0).reshape(2, 2, 3), jnp.asarray([[2, 0], [1, 1]])
    np.testing.assert_array_equal(choose(q, action), [[2.0, 3.0], [7.0, 10.0]])
    grad = jax.grad(lambda q: jnp.sum(choose(q, action)))(q)
    np.testing.assert_array_equal(grad, jax.nn.one_hot(action, 3))


def test_choose_ignores_what_is_not_chosen_even_if_not_finite():
    assert choose(jnp.asarray([jnp.inf, 1.0, jnp.nan]), jnp.asarray(1)) == 1.0


def test_greedy_action_is_the_best_legal_one():
    q = jnp.asarray([[5.0, 1.0, 3.0], [-2e3, -1e3, -3e3], [0.0, 0.0, 9.0]])
    avail = jnp.asarray([[False, True, True], [True, False, True], [False, True, False]])
    np.testing.assert_array_equal(greedy_action(q, avail), [2, 0, 1])


def test_bootstrap_action_double_and_not():
    online, target = jnp.asarray([[9.0, 2.0, 1.0]]), jnp.asarray([[8.0, 3.0, 5.0]])
    avail = jnp.asarray([[False, True, True]])
    assert bootstrap_action(online, target, avail, double_q=True) == 1
    assert bootstrap_action(online, target, avail, double_q=False) == 2


def test_agent_td_errors_equal_a_loop():
    generator = np.random.default_rng(6)
    shape = (NUM_SLOTS, 2, 3, 4)
    online, target = generator.normal(size=(2, *shape)).astype(np.float32)
    avail = generator.random(shape) < 0.5
    avail[..., 0] = True
    action, (reward, _) = generator.integers(4, size=shape[:3]), _noise(7, shape[:2])
    columns = [MIXED, ROWS["episodes of one step"]]
    terminal, filled = (np.stack([flags[name] for flags in columns], axis=1) for name in ("terminal", "filled"))
    errors = agent_td_errors(online, target, action, avail, reward, terminal, GAMMA)
    assert errors.shape == shape[:3]
    np.testing.assert_array_equal(errors[-1], 0)
    for t, b, a in np.ndindex(*shape[:3]):
        if filled[t, b]:
            # At a limit the next slot is the episode's own final observation, whose value counts.
            best = max(target[t + 1, b, a, u] for u in range(4) if avail[t + 1, b, a, u])
            goal = reward[t, b] + (0 if terminal[t, b] else GAMMA * best)
            expected = online[t, b, a, action[t, b, a]] - goal
            np.testing.assert_allclose(errors[t, b, a], expected, rtol=1e-4, atol=1e-5)


def test_agent_td_errors_carry_no_gradient():
    q, action = jnp.ones((3, 1, 2, 2)), jnp.zeros((3, 1, 2), jnp.int32)
    flags, avail = jnp.zeros((3, 1)), jnp.ones((3, 1, 2, 2), bool)
    grad = jax.grad(lambda q: jnp.sum(agent_td_errors(q, 2 * q, action, avail, flags, flags, 0.9)))(q)
    np.testing.assert_array_equal(grad, 0)


def test_shapes_that_would_broadcast_are_refused():
    """With as many slots and rows as agents, [T, B] would be taken for [B, A] at every slot."""
    team, each = jnp.zeros((2, 2)), jnp.zeros((2, 2, 2))
    for shapes in ((team, team, team, each), (each, team, each, each), (team, team, each, team)):
        with pytest.raises(AssertionError):
            td_lambda_targets(*shapes, gamma=0.9, td_lambda=0.5)
    with pytest.raises(AssertionError):
        td_loss(each, team > 0)
    with pytest.raises(AssertionError):
        choose(jnp.zeros((4, 2, 3)), jnp.zeros((2, 4), int))
    with pytest.raises(AssertionError):
        agent_td_errors(
            jnp.zeros((4, 3, 2, 5)),
            jnp.zeros((4, 3, 2, 5)),
            jnp.zeros((4, 3, 2), int),
            jnp.ones((4, 3, 2, 5), bool),
            jnp.zeros((3, 4)),
            jnp.zeros((4, 3)),
            0.9,
        )
