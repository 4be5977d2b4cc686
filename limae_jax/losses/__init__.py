"""Losses as pure functions of arrays, with axes [T, B, ...]."""
