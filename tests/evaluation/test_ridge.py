"""Linear references of the guesses on made trajectories whose best linear guess is known."""

import numpy as np
import pytest

from limae_jax.evaluation.ridge import has_reference, ridge_r2, windows
from limae_jax.rollouts.trajectories import Trajectories

pytestmark = pytest.mark.slow

STEPS, EPISODES, AGENTS, FEATURES = 6, 400, 2, 3


def _played(generator, follow):
    """Agent 1's features at a step are `follow(agent 0's tokens, agent 0's GRU state)`; agent 0's are noise."""
    tokens = generator.normal(size=(STEPS, EPISODES, AGENTS, FEATURES))
    hidden = generator.normal(size=(STEPS, EPISODES, AGENTS, 2))
    tokens[:, :, 1] = follow(tokens[:, :, 0], hidden[:, :, 0])
    alive = np.ones((STEPS, EPISODES, AGENTS), bool)
    return Trajectories(tokens, hidden, alive, np.ones((STEPS, EPISODES), bool))


def _back(tokens, steps):
    return np.concatenate([np.zeros_like(tokens[:steps]), tokens[: STEPS - steps]])


def test_windows_hold_the_newest_step_first_and_say_which_steps_are_present():
    tokens = np.arange(6.0).reshape(3, 1, 2)
    seen = windows(tokens, 2)
    np.testing.assert_array_equal(seen[0, 0], [0, 1, 0, 0, 1, 0])
    np.testing.assert_array_equal(seen[2, 0], [4, 5, 2, 3, 1, 1])


def test_windows_may_be_longer_than_the_episode():
    assert windows(np.ones((2, 1, 1)), 4)[1, 0].tolist() == [1, 1, 0, 0, 1, 1, 0, 0]


def test_a_linear_function_of_the_own_window_is_found_and_only_within_the_window():
    played = _played(np.random.default_rng(0), lambda tokens, hidden: _back(tokens, 2))
    # Only the pair in which agent 0 looks at agent 1 can be guessed at both lengths: half of the mean.
    inside, outside = ridge_r2([played], 3)["r2_ridge"], ridge_r2([played], 2)["r2_ridge"]
    assert inside > outside + 0.4


def test_the_state_of_the_gru_is_read_by_the_second_reference_only():
    played = _played(np.random.default_rng(1), lambda tokens, hidden: hidden[..., :1] * np.ones(FEATURES))
    found = ridge_r2([played], 2)
    assert found["r2_ridge"] < 0.05 < 0.4 < found["r2_ridge_gru"]


def test_noise_is_not_explained_however_many_inputs_there_are():
    generator = np.random.default_rng(2)
    played = _played(generator, lambda tokens, hidden: generator.normal(size=tokens.shape))
    assert -0.2 < ridge_r2([played], STEPS)["r2_ridge"] < 0.02


def test_padding_and_dead_agents_do_not_count():
    generator = np.random.default_rng(3)
    played = _played(generator, lambda tokens, hidden: tokens)
    alive, running = played.alive.copy(), played.is_running.copy()
    alive[4:, ::3, 1] = False
    running[3:, 1::3] = False
    part = played.replace(alive=alive, is_running=running)
    tokens = played.tokens.copy()
    tokens[~(alive & running[..., None])] = 7.0
    damaged = part.replace(tokens=tokens)
    assert ridge_r2([part], 1)["r2_ridge"] == pytest.approx(ridge_r2([damaged], 1)["r2_ridge"], abs=1e-6)


def test_parts_are_joined():
    played = _played(np.random.default_rng(4), lambda tokens, hidden: tokens)
    split = [Trajectories(*(x[:, part] for x in vars(played).values())) for part in (slice(0, 200), slice(200, None))]
    assert ridge_r2(split, 2) == ridge_r2([played], 2)


def test_without_features_that_vary_there_is_no_reference():
    still = _played(np.random.default_rng(5), lambda tokens, hidden: tokens)
    still = still.replace(tokens=np.ones_like(still.tokens))
    assert np.isnan(ridge_r2([still], 2)["r2_ridge"])


def test_windows_that_are_too_large_have_no_reference():
    assert has_reference(170, 5) and not has_reference(700, 5)
