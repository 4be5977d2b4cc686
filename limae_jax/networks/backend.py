"""The choice between backend-specific forms of a computation. All forms give the same values up to rounding."""

from __future__ import annotations

import jax


def prefers_cpu_forms() -> bool:
    """Whether programs are compiled for a CPU, where some hand-written sums and gradients are faster."""
    return jax.default_backend() == "cpu"
