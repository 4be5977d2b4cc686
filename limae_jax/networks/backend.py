"""Which form of a computation the backend wants. Both forms give the same values, up to rounding."""

from __future__ import annotations

import jax


def prefers_cpu_forms() -> bool:
    """Whether programs are compiled for a CPU, where some sums and gradients are quicker written out by hand."""
    return jax.default_backend() == "cpu"
