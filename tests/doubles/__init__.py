"""What stands for something else in the tests, one line each.

battle_games: worker processes with StarCraft II, for a team trained on SMAX: scripted games with units.
checkpoint_worker: the state of a run, and processes that save it.
damages: what may happen to a run directory on a user's disk.
fakes: a game (every step known beforehand), rows that nobody played, a learner's settings and parameters.
interrupted: a user who stops a run.
killed: a kill at any step that changes the disk.
made_up_cli: `python -m limae_jax`, with a game that compiles at once.
rows: lines of a run's metrics.
scripted_games: worker processes with StarCraft II, by a script.
smac_battles: SMAC's units at a moment, and what SMAX would show of them.
starcraft2_double: SMAC's `StarCraft2Env`, in worker processes.
tiny: a user's settings, for runs small enough to test with.
toy_runs: directories of runs that nobody trained.
trained_runs: fixtures that train with the made-up game, once compiled.

Nothing is imported here: some of these run in processes that must not start jax.
"""
