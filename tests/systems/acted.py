"""Plays a script step by step through a system's `act`, and tells what it valued on the way."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from context_systems import KEY, TRIO, learner
from doubles.fakes import made_up_rows, marks

from limae_jax.systems import value_based
from limae_jax.types import Rows, Timestep

NUM_STEPS = 18
SCRIPT = made_up_rows(
    3, [marks([(4, True), (1, False), (9, True)], NUM_STEPS), marks([(7, False), (3, True)], NUM_STEPS)], 1, TRIO
)


class Acted(NamedTuple):
    """q [N, B, A, U] of each step, and the carry (leaves [N, B, ...]) that the step began with."""

    q: np.ndarray
    carry: Any


@functools.cache
def _player(name: str, **settings):
    core = learner(name, **settings).core

    def step(params, carry, slot: Rows):
        timestep = Timestep(
            slot.obs, slot.state, slot.avail, slot.alive, slot.reward, slot.is_first, slot.terminal, slot.truncated
        )
        seen = []

        def scripted(q, avail, epsilon, key):
            seen.append(q)
            return slot.action

        with mock.patch.object(value_based, "epsilon_greedy", scripted):
            after = core.act(params, carry, timestep, 0.0, KEY)
        return after.carry, (seen[0], carry)

    def play(params, script: Rows):
        return jax.lax.scan(lambda carry, slot: step(params, carry, slot), core.initial_carry(2), script)[1]

    return jax.jit(play)


def acted(name: str, script: Rows = SCRIPT, **settings) -> Acted:
    """What the system with these settings values along a script whose actions are taken, whatever it values."""
    play = _player(name, **settings)
    return Acted(*jax.tree.map(np.asarray, play(learner(name, **settings).state.params, script.replace(start=()))))


def cut(script: Rows, carry, begin: int, length: int) -> Rows:
    """A row out of the script, as the replay has it: with the carry that acting had there."""
    slots = jax.tree.map(lambda x: x[begin : begin + length], script.replace(start=()))
    return slots.replace(start=jax.tree.map(lambda x: jnp.asarray(x[begin]), carry))
