"""The scores that threshold rules average, against loops and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mask_inputs import first_mask, inputs, make, random_inputs

from limae_jax.config.masking import SCORES
from limae_jax.masking.signals import SIGNALS

CENTRED = SCORES[1:]


def _noisy(seed: int = 0):
    given, generator = random_inputs(seed), np.random.default_rng(seed + 100)
    shape = given.td_error_agent.shape
    signed = generator.normal(size=shape).astype(np.float32)
    credit = generator.exponential(size=shape).astype(np.float32)
    return given._replace(td_error_agent=np.abs(signed), signed=signed, credit=credit)


def test_every_score_has_a_name():
    assert tuple(SIGNALS) == SCORES


@pytest.mark.parametrize("score", SCORES)
def test_equals_a_loop(score):
    given = _noisy()
    found, counted = SIGNALS[score](given), np.asarray(given.is_counted)
    values = {"absolute": given.td_error_agent, "step_centred": given.td_error_agent, "credit": given.credit}
    if score == "disagreement":
        values[score] = np.zeros_like(given.signed)
        for t, b, i in np.ndindex(counted.shape):
            living = np.flatnonzero(counted[t, b])
            if counted[t, b, i]:
                values[score][t, b, i] = abs(given.signed[t, b, i] - given.signed[t, b, living].mean())
    everything = values[score][counted].mean()
    for t, b, i in np.argwhere(counted):
        common = values[score][t, b][counted[t, b]].mean() if score in CENTRED else everything
        np.testing.assert_allclose(found[t, b, i], values[score][t, b, i] - common + everything, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_what_does_not_count_has_no_influence(score):
    given = _noisy(4)
    spoilt = {name: jnp.where(given.is_counted, getattr(given, name), np.nan) for name in ("signed", "credit")}
    spoilt["td_error_agent"] = jnp.abs(spoilt["signed"])
    for rule in ("mean_td", "ema", "random_matched", "inverse_td"):
        np.testing.assert_array_equal(
            first_mask(rule, given, score=score), first_mask(rule, given._replace(**spoilt), score=score)
        )


def _survivor():
    """Ten steps with equal errors at each; only agent 0 lives at the last one, whose error is large."""
    error = np.broadcast_to(np.linspace(0.5, 1.0, 10)[:, None, None], (10, 1, 3)).copy()
    error[-1] = 5.0
    counted = np.ones((10, 1, 3), bool)
    counted[-1, :, 1:] = False
    return inputs(error, is_counted=counted, signed=error, credit=error)


def test_survival_decides_by_the_absolute_error_only():
    """All agents are equally surprised; one of them lives one step longer, and that step has a large error."""
    for score in ("absolute", "step_centred", "credit"):  # nobody disagrees with anybody here
        rule = make("mean_td", 3, score=score)
        is_hidden, _, metrics = rule.select(rule.init(), _survivor(), jax.random.key(0))
        assert metrics["fallback_rate"] == (score != "absolute")
        assert is_hidden[0, 0].tolist() == [True, False, False]


def test_a_reward_that_all_share_is_no_signal():
    """A common error of each step drowns an agent's own; without it, that is all there is."""
    generator = np.random.default_rng(2)
    common = generator.exponential(10.0, (12, 6, 1))
    own = np.array([0.0, 0.3, 0.0])
    counted = generator.random((12, 6, 3)) < 0.5
    counted[..., 1] |= ~counted.any(-1)
    given = inputs(common + own, is_counted=counted)
    assert first_mask("mean_td", given, score="step_centred", tolerance=0)[0, 0].tolist() == [False, True, False]


@pytest.mark.parametrize("score", SCORES)
def test_agents_in_another_order_are_hidden_in_that_order(score):
    given, order = _noisy(7), np.array([2, 0, 3, 1])
    fields = ("td_error_agent", "is_counted", "obs", "signed", "credit")
    moved = given._replace(**{name: getattr(given, name)[:, :, order] for name in fields})
    np.testing.assert_array_equal(
        first_mask("mean_td", given, score=score)[:, :, order], first_mask("mean_td", moved, score=score)
    )


@pytest.mark.parametrize("score", CENTRED)
def test_as_many_are_hidden_at_random_as_by_the_same_score(score):
    for seed in range(5):
        given = _noisy(seed)
        numbers = [first_mask(rule, given, score=score).sum(-1) for rule in ("mean_td", "random_matched", "inverse_td")]
        np.testing.assert_array_equal(numbers[0], numbers[1])
        np.testing.assert_array_equal(numbers[0], numbers[2])
