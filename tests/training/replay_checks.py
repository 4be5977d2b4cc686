"""Whether a replay holds what it should."""

import numpy as np


def check_replay(state, least):
    """Asserts that there are as many rows of each seed, and that whatever can be drawn was played."""
    replay = state.replay
    played = np.asarray(replay.experience.filled).any(axis=-1)[:, 0]
    for seed in range(len(played)):
        capacity = played.shape[1]
        count = capacity if np.asarray(replay.is_full)[seed, ...].item() else int(replay.current_index[seed])
        assert count >= min(least, capacity)
        assert played[seed, :count].all()
