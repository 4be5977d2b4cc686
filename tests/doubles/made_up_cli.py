"""`python -m limae_jax`, but training plays a made-up game that compiles at once."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from doubles.fakes import CountingEnv
from limae_jax.cli.main import main
from limae_jax.training import setup

COMMAND = [sys.executable, __file__]

if __name__ == "__main__":
    setup.make_env = lambda config: CountingEnv()
    sys.exit(main())
