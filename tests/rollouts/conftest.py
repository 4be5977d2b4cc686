"""What is trained here is trained as `doubles.trained_runs` says."""

from doubles.trained_runs import cli, compile_once, final_arrays, game, run_pair, tiny  # noqa: F401
