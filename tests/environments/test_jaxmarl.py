import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

CODE = """
import sys, warnings
from limae_jax.environments.jaxmarl import import_jaxmarl
streams = sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__
filters = list(warnings.filters)
import_jaxmarl()
assert streams == (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
assert filters == warnings.filters
"""


def test_jaxmarl_is_imported_without_a_word():
    finished = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert (finished.stdout, finished.stderr) == ("", "")
