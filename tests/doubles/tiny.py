"""Runs small enough to test with: two marines against two, tiny networks, a few thousand steps."""

# VDN compiles in half of QMIX's time, and what is tested here does not depend on the system.
TINY = [
    "env.scenario=2m_vs_2m",
    "env.num_envs=8",
    "env.max_steps=12",
    "system=vdn",
    "system.hidden_size=8",
    "system.target_update_env_steps=500",
    "system.epsilon_decay_env_steps=5000",
    "replay.row_length=8",
    "replay.capacity_rows=100",
    "system.updates_per_iteration=1",
    "replay.batch_rows=8",
    "replay.min_rows=16",
    "evaluation.num_episodes=4",
    "evaluation.every_time_steps=4000",
    "run.total_env_steps=10000",
    "run.seed_batching=sequential",
]

# What QMIX has beside that, and several updates an iteration, each with a key of its own.
TINY_MIXED = [
    *TINY,
    "system=qmix",
    "mixer.embed_dim=4",
    "mixer.hypernet_dim=4",
    "system.updates_per_iteration=2",
]
