"""How the games that run in processes of their own share out the seeds."""

# The games of one seed of a run have seeds of their own, this far from those of the next.
MAX_WORKERS = 1000
