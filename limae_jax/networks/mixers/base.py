"""The input of the mixers."""

from __future__ import annotations

from collections.abc import Mapping

import jax
from flax import struct


class MixerInputs(struct.PyTreeNode):
    """The input of a mixer. Axes [T, B, ...], time-major; all utilities are from the network that mixes.

    Attributes:
        chosen_q: [T, B, A] each agent's utility of `action`.
        best_q: [T, B, A] each agent's best utility among its legal actions.
        action: [T, B, A] int32, the joint action to evaluate.
        state: [T, B, G]; the environments scale it to about [-1, 1].
        features: features of the agent network, by name.
    """

    chosen_q: jax.Array
    best_q: jax.Array
    action: jax.Array
    state: jax.Array
    features: Mapping[str, jax.Array]
