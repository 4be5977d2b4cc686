"""Upper bounds on sizes: far beyond useful values, but still possible to build."""

MAX_WIDTH, MAX_LAYERS, MAX_UPDATES = 4096, 64, 10_000
