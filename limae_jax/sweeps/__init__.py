"""Sweeps: a grid of runs from one command, with shared programs, cluster jobs and a table."""
