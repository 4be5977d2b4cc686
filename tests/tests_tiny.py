"""Runs small enough to test with: two marines against two, tiny networks, a few thousand steps."""

TINY = [
    "env.scenario=2m_vs_2m",
    "env.num_envs=8",
    "env.max_steps=12",
    "system.hidden_size=8",
    "mixer.embed_dim=4",
    "mixer.hypernet_dim=4",
    "system.target_update_env_steps=500",
    "system.epsilon_decay_env_steps=5000",
    "replay.row_length=8",
    "replay.capacity_rows=200",
    "system.updates_per_iteration=2",
    "replay.batch_rows=8",
    "replay.min_rows=16",
    "evaluation.num_episodes=4",
    "evaluation.every_time_steps=4000",
    "run.total_env_steps=10000",
    "run.seed_batching=sequential",
]

# For systems that do not mix as QMIX does.
TINY_UNMIXED = [override for override in TINY if not override.startswith("mixer.")]
