"""Makes compiling quick: what the tests compile is small, and many tests compile the same."""

import os
import shutil
import tempfile
from pathlib import Path

import browser

# Before jax starts, and inherited by the processes that tests start. The results do not depend on it being fast.
QUICK_TO_COMPILE = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
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
