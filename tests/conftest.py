"""Makes compiling quick: what the tests compile is small, and runs once."""

import os

# Before jax starts, and inherited by the processes that tests start. The results do not depend on it being fast.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()
