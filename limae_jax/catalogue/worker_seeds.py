"""Seeds of games in worker processes."""

# Each seed of a run reserves this many seeds for its games.
MAX_WORKERS = 1000
