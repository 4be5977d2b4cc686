"""`python -m limae_jax`."""

import sys

from limae_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
