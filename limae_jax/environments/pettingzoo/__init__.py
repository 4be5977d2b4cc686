"""Parallel environments of PettingZoo, in processes of their own."""
