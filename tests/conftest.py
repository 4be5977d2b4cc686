"""Makes compiling quick: what the tests compile is small, and many tests compile the same."""

import os
import shutil
import tempfile
from pathlib import Path

import browser
import pytest

# Their assertions explain themselves, as those of the tests do.
pytest.register_assert_rewrite("doubles")

# Before jax starts, and inherited by the processes that tests start. The results do not depend on it being fast.
QUICK_TO_COMPILE = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK_TO_COMPILE}".strip()

# One cache for all workers and their child processes; a test session begins with none. pytest-xdist's workers inherit
# the variable from the process that starts them, which alone removes the folder.
_own_cache = None
if "PYTEST_XDIST_WORKER" not in os.environ:
    _own_cache = Path(tempfile.mkdtemp(prefix="limae_jax_tests_"))
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_own_cache)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"


def pytest_configure(config):
    config.pluginmanager.register(browser)


def pytest_unconfigure():
    if _own_cache:
        shutil.rmtree(_own_cache, ignore_errors=True)


def pytest_collection_modifyitems(config, items):
    """Leaves out the tests of games that are not installed, and the `exhaustive` ones unless asked for."""
    left_out = set(_left_out(config))
    chosen = [item for item in items if left_out.isdisjoint(mark.name for mark in item.iter_markers())]
    if len(chosen) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def _left_out(config):
    """Marker of the tests that are left out -> why."""
    is_asked_for = "exhaustive" in config.option.markexpr
    long = None if is_asked_for else "they take long; run them with pytest -m exhaustive"
    reasons = {
        "smac": _why_not_smac(),
        "pettingzoo": _why_not_pettingzoo(),
        "gymnasium": _why_not_gymnasium(),
        "exhaustive": long,
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _why_not_smac():
    """What is missing, or None."""
    from limae_jax.environments.smac.installation import CHECKS
    from limae_jax.errors import InputError

    try:
        for check in CHECKS.values():
            check()
    except InputError as error:
        return str(error)
    return None


def _why_not_pettingzoo():
    """What is missing, or None."""
    from limae_jax.environments.pettingzoo.installation import check_parallel_env
    from limae_jax.errors import InputError

    try:
        check_parallel_env("mpe2.simple_spread_v3")
    except InputError as error:
        return str(error)
    return None


def _why_not_gymnasium():
    """What is missing, or None."""
    from limae_jax.environments.pettingzoo.installation import check_gymnasium_env
    from limae_jax.errors import InputError

    try:
        check_gymnasium_env("lbforaging:Foraging-8x8-2p-3f-v3")
    except InputError as error:
        return str(error)
    return None


def pytest_terminal_summary(terminalreporter, config):
    """Says why tests were left out; with several workers the process that prints has collected nothing itself."""
    for name, reason in _left_out(config).items():
        terminalreporter.write_line(f"tests marked {name} are left out: {reason}")
