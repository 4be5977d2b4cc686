"""PPO's losses against sums by hand, and what they must not read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import marks

from limae_jax.losses.ppo import (
    advantages,
    clipped_policy_loss,
    explained_variance,
    log_policy,
    normalised,
    policy_entropy,
    value_loss,
    with_values_of_the_dead,
)

GAMMA, SLOTS = 0.9, 13
ROWS = {
    "win, limit, row end": marks([(3, True), (4, False), (9, True)], SLOTS),
    "loss and win": marks([(5, True), (6, True)], SLOTS),
    "row ends with a step": marks([(20, True)], SLOTS, skip=4),
    "row begins with a final observation": marks([(4, True), (6, False)], SLOTS, skip=4),
    "row ends with a limit": marks([(SLOTS - 1, False)], SLOTS),
}


def brute_force(reward, flags, value, gae_lambda):
    """Sums of discounted one-step errors, each from its definition; NaN where no step was taken."""
    found = np.full(len(reward), np.nan)
    for start in np.flatnonzero(flags["filled"]):
        total, weight, t = 0.0, 1.0, start
        while True:
            after = 0.0 if flags["terminal"][t] else value[t + 1]
            total += weight * (reward[t] + GAMMA * after - value[t])
            is_over = flags["terminal"][t] or flags["truncated"][t]
            t, weight = t + 1, weight * GAMMA * gae_lambda
            if is_over or t == len(reward) - 1:
                break
        found[start] = total
    return found


@pytest.mark.parametrize("gae_lambda", [0.0, 0.95, 1.0])
@pytest.mark.parametrize("name", ROWS)
def test_advantages_are_sums_of_one_step_errors_within_an_episode(name, gae_lambda):
    flags, generator = ROWS[name], np.random.default_rng(1)
    reward, value = generator.normal(size=SLOTS), generator.normal(size=(SLOTS, 1, 2))
    column = {key: flag[:, None] for key, flag in flags.items()}
    found, returns = advantages(
        jnp.float32(reward)[:, None], column["terminal"], column["filled"], jnp.float32(value), GAMMA, gae_lambda
    )
    for agent in range(2):
        expected = brute_force(reward, flags, value[:, 0, agent], gae_lambda)
        filled = flags["filled"]
        np.testing.assert_allclose(found[filled, 0, agent], expected[filled], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(returns - found, value, rtol=1e-4, atol=1e-5)


def test_a_lost_and_a_timed_out_episode_differ_by_the_value_of_the_last_observation():
    win, limit = marks([(4, True)], 5), marks([(4, False)], 5)
    value = jnp.full((5, 1, 1), 10.0)
    last = []
    for flags in (win, limit):
        flags = {key: flag[:, None] for key, flag in flags.items()}
        found, _ = advantages(jnp.zeros((5, 1)), flags["terminal"], flags["filled"], value, GAMMA, 0.5)
        last.append(float(found[3, 0, 0]))
    assert last == pytest.approx([-10.0, GAMMA * 10.0 - 10.0])


AVAIL = np.array([[True, False, True, True], [False, True, False, False]])


def test_an_illegal_action_has_no_probability_no_gradient_and_no_entropy():
    logits = jnp.array([[0.3, 9.0, -1.0, 2.0], [5.0, 0.0, 3.0, 3.0]])
    log_probs = log_policy(logits, AVAIL)
    assert (np.exp(log_probs)[~AVAIL] == 0).all()
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=-1), 1.0, rtol=1e-6)
    legal = np.exp(np.asarray(logits)[0, AVAIL[0]])
    share = legal / legal.sum()
    np.testing.assert_allclose(policy_entropy(log_probs, AVAIL), [-(share * np.log(share)).sum(), 0.0], atol=1e-6)

    def total(logits):
        log_probs = log_policy(logits, AVAIL)
        return jnp.sum(policy_entropy(log_probs, AVAIL)) + log_probs[0, 0] + log_probs[1, 1]

    gradient = np.asarray(jax.grad(total)(logits))
    assert (gradient[~AVAIL] == 0).all() and (gradient[0, AVAIL[0]] != 0).all()


def test_the_dead_have_the_value_of_the_living():
    alive = np.array([[True, False, True], [True, True, True], [False, False, False]])
    value = jnp.array([[1.0, 99.0, 3.0], [1.0, 2.0, 3.0], [7.0, 8.0, 9.0]])
    expected = [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(with_values_of_the_dead(value, alive), expected)


def test_advantages_are_normalised_over_what_counts():
    counts = np.array([True, True, False, True])
    found = np.asarray(normalised(jnp.array([1.0, 2.0, 1e6, 6.0]), counts))
    expected = np.array([1.0, 2.0, 6.0])
    np.testing.assert_allclose(found[counts], (expected - 3) / expected.std(), rtol=1e-4)
    assert found[2] == 0


def test_the_policys_loss_by_hand():
    """Ratios 1.5, 0.5, 1.5, 0.5, 1.1 with clip 0.2: a gain is clipped, what makes things worse is not."""
    ratio, advantage = np.array([1.5, 0.5, 1.5, 0.5, 1.1]), np.array([1.0, -1.0, -1.0, 1.0, 2.0])
    gain = [1.2, -0.8, -1.5, 0.5, 2.2]
    found = clipped_policy_loss(
        jnp.log(jnp.float32(ratio)), jnp.zeros(5), jnp.float32(advantage), np.ones(5, bool), 0.2
    )
    assert float(found.loss) == pytest.approx(-np.mean(gain), rel=1e-5)
    assert float(found.clip_share) == pytest.approx(0.8)
    assert float(found.approx_kl) == pytest.approx(np.mean(ratio - 1 - np.log(ratio)), rel=1e-4)


def test_the_critics_loss_by_hand():
    value, old, target = jnp.array([1.0, 1.0]), jnp.array([0.0, 0.9]), jnp.array([1.0, 3.0])
    everything = np.ones(2, bool)
    assert float(value_loss(value, old, target, everything, None)) == pytest.approx((0.0 + 4.0) / 4)
    # The first value moved by 1 and counts as 0.2, though the target is reached; the second moved by 0.1.
    assert float(value_loss(value, old, target, everything, 0.2)) == pytest.approx((0.64 + 4.0) / 4)


def test_explained_variance():
    target, counts = jnp.array([1.0, 2.0, 3.0, 1e9]), np.array([True, True, True, False])
    assert float(explained_variance(target, target, counts)) == pytest.approx(1.0)
    assert float(explained_variance(jnp.zeros(4), target, counts)) == pytest.approx(0.0, abs=1e-6)
    assert float(explained_variance(-target, target, counts)) == pytest.approx(-3.0)
    assert float(explained_variance(target, jnp.ones(4), counts)) == 0.0


@pytest.mark.parametrize("noise", [3.0, 1e30, np.inf])
def test_what_does_not_count_changes_neither_losses_nor_gradients(noise):
    generator = np.random.default_rng(2)
    plain = {name: generator.normal(size=(4, 3)).astype(np.float32) for name in ("new", "old", "advantage", "target")}
    counts = generator.random((4, 3)) < 0.6
    other = {name: np.where(counts, x, noise * generator.choice([-1, 1], size=x.shape)) for name, x in plain.items()}

    def losses(new, given):
        policy = clipped_policy_loss(new, given["old"], normalised(given["advantage"], counts), counts, 0.2)
        critic = value_loss(new, given["old"], given["target"], counts, 0.2)
        shown = [*policy, critic, explained_variance(new, given["target"], counts)]
        return policy.loss + critic, jnp.stack(shown)

    found = [jax.value_and_grad(losses, has_aux=True)(jnp.float32(x["new"]), x) for x in (plain, other)]
    jax.tree.map(np.testing.assert_array_equal, *found)
    assert (np.asarray(found[0][1])[counts] != 0).any() and (np.asarray(found[0][1])[~counts] == 0).all()
