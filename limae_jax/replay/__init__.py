"""Replay memories of experience rows, and how much memory a run needs."""
