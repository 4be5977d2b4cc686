"""An agent's values depend on its own history alone, while acting and in the learner; the oracle's do not."""

import functools

import jax
import numpy as np
import pytest
from acted import SCRIPT, acted
from context_systems import BATCH, TRIO, learner, utilities

from limae_jax.types import Rows

pytestmark = pytest.mark.slow

AGENTS = range(TRIO.num_agents)
FIELDS = ("obs", "action", "alive", "avail", "state")
CONTEXTS = ["last_step", "window"]


def of_others(rows: Rows, field: str, agent: int, seed: int = 0) -> Rows:
    """Rows with other values, in every slot, in a field of all agents but one."""
    generator = np.random.default_rng(seed)
    old = np.asarray(getattr(rows, field))
    if old.dtype == bool:
        new = ~old
    elif field == "action":
        new = (old + generator.integers(1, TRIO.num_actions, size=old.shape)).astype(old.dtype) % TRIO.num_actions
    else:
        new = old + generator.normal(size=old.shape).astype(old.dtype)
    if field != "state":
        new[:, :, agent] = old[:, :, agent]
    return rows.replace(**{field: new})


def with_other_carry(rows: Rows, agent: int) -> Rows:
    """Rows whose stored carry is another one for all agents but one."""
    start, axis = rows.start, {"hidden": 1, "last_action": 1}

    def change(x, at: int):
        new = np.asarray(x).copy()
        others = [slice(None)] * at + [np.delete(np.arange(TRIO.num_agents), agent)]
        new[tuple(others)] = 1 + new[tuple(others)] if new.dtype.kind == "f" else (1 + new[tuple(others)]) % 3
        return new

    history = start.history.replace(obs=change(start.history.obs, 2), last_action=change(start.history.last_action, 2))
    changed = {name: change(getattr(start, name), at) for name, at in axis.items()}
    return rows.replace(start=start.replace(history=history, **changed))


@functools.cache
def _value(name: str, context: str):
    one = learner(name, mae_context=context)
    return jax.jit(functools.partial(utilities, one.core, one.state.params))


def learned(name: str, context: str, batch: Rows) -> np.ndarray:
    return np.asarray(_value(name, context)(batch))


@pytest.mark.parametrize("context", CONTEXTS)
def test_acting_reads_nothing_of_the_others(context):
    plain = acted("li_ma2e", mae_context=context).q
    for agent in AGENTS:
        for field in FIELDS:
            changed = acted("li_ma2e", of_others(SCRIPT, field, agent), mae_context=context).q
            np.testing.assert_array_equal(changed[:, :, agent], plain[:, :, agent])
    # Its own history is read, so this could have failed: agent 1 is among the others of agent 0.
    for field in ("obs", "action"):
        changed = acted("li_ma2e", of_others(SCRIPT, field, agent=0), mae_context=context).q
        assert np.abs(changed[:, :, 1] - plain[:, :, 1]).max() > 1e-3


@pytest.mark.parametrize("context", CONTEXTS)
def test_learning_reads_nothing_of_the_others(context):
    plain = learned("li_ma2e", context, BATCH)
    for agent in AGENTS:
        for field in FIELDS:
            changed = learned("li_ma2e", context, of_others(BATCH, field, agent))
            np.testing.assert_array_equal(changed[:, :, agent], plain[:, :, agent])
        changed = learned("li_ma2e", context, with_other_carry(BATCH, agent))
        np.testing.assert_array_equal(changed[:, :, agent], plain[:, :, agent])
    others_too = learned("li_ma2e", context, with_other_carry(BATCH, 0))
    assert np.abs(others_too[:, :, 1] - plain[:, :, 1]).max() > 1e-3


@pytest.mark.parametrize("field", ["obs", "action"])
def test_the_oracle_reads_the_others_while_acting_and_learning(field):
    """What the tests above look for is there to be found."""
    settings = {"mae_context": "window"}
    plain, changed = (acted("oracle", rows, **settings).q for rows in (SCRIPT, of_others(SCRIPT, field, 0)))
    assert np.abs(changed[:, :, 0] - plain[:, :, 0]).max() > 1e-3
    plain, changed = (learned("oracle", "window", rows) for rows in (BATCH, of_others(BATCH, field, 0)))
    assert np.abs(changed[:, :, 0] - plain[:, :, 0]).max() > 1e-3


@pytest.mark.parametrize("field", ["alive", "avail", "state"])
def test_not_even_the_oracle_reads_what_is_for_training_only(field):
    every_agent = np.asarray(getattr(BATCH, field))
    new = ~every_agent if every_agent.dtype == bool else every_agent + 1
    plain, changed = (learned("oracle", "window", rows) for rows in (BATCH, BATCH.replace(**{field: new})))
    np.testing.assert_array_equal(plain, changed)


def test_an_agents_own_death_enters_its_values_nowhere():
    """It would tell the others, by what they make of it, who is dead; it may weigh losses only."""
    plain = learned("li_ma2e", "last_step", BATCH)
    np.testing.assert_array_equal(learned("li_ma2e", "last_step", BATCH.replace(alive=~BATCH.alive)), plain)
