"""What is shown as the agents' guesses is what their errors are computed from."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from context_systems import BATCH, TRIO, config_of, learner

from limae_jax.networks.mae import other_agents
from limae_jax.systems.belief_quality import Guess, add_step, no_errors
from limae_jax.systems.guesses import make_guesses
from limae_jax.types import Timestep


def step_of(slot: int) -> Timestep:
    """All rows at a slot, everybody alive."""
    rows = BATCH.is_first.shape[1]
    no = jnp.zeros(rows, bool)
    alive = jnp.ones((rows, TRIO.num_agents), bool)
    return Timestep(BATCH.obs[slot], BATCH.state[slot], BATCH.avail[slot], alive, no, BATCH.is_first[slot], no, no)


@pytest.mark.parametrize("context", ["last_step", "window"])
def test_guesses_are_those_whose_errors_are_measured(context):
    one = learner("li_ma2e", mae_context=context)
    guess = make_guesses(one.config, TRIO)
    carry, timestep = BATCH.start, step_of(0)
    is_running = jnp.ones(timestep.is_first.shape, bool)

    @jax.jit
    def both(params):
        guesses = guess(params, carry, timestep)
        last_action = jnp.where(timestep.is_first[:, None], -1, carry.last_action)
        ours = add_step(no_errors(TRIO), TRIO, Guess(guesses, last_action), timestep, is_running)
        return guesses, ours, one.core.belief_errors(params, carry, timestep, is_running, no_errors(TRIO))

    guesses, ours, theirs = both(one.state.params)
    pairs = (TRIO.num_agents, TRIO.num_agents - 1, TRIO.obs_size + TRIO.num_actions)
    assert guesses.shape == (len(is_running), *pairs)
    for name in ("guess", "mean", "seen", "seen_mean", "weight"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-5)
    # How likely the team-mates live is measured too, but not shown.
    assert theirs.weight_alive > 0 and theirs.alive > 0


def test_a_guess_depends_on_its_own_agent_alone():
    one = learner("li_ma2e")
    guess = jax.jit(make_guesses(one.config, TRIO))
    timestep = step_of(0)
    others = other_agents(TRIO.num_agents)[1]
    changed = dataclasses.replace(timestep, obs=timestep.obs.at[:, others].add(1.0))
    before, after = (guess(one.state.params, BATCH.start, one_step) for one_step in (timestep, changed))
    np.testing.assert_array_equal(before[:, 1], after[:, 1])
    assert not np.array_equal(before[:, 0], after[:, 0])


@pytest.mark.parametrize("config", [config_of("qmix"), config_of("oracle"), config_of("ma2e", mae_context="off")])
def test_who_guesses_nothing_shows_nothing(config):
    assert make_guesses(config, TRIO) is None
