"""Far beyond what was ever of use, and still what can be built."""

MAX_WIDTH, MAX_LAYERS, MAX_UPDATES = 4096, 64, 10_000
