"""Rows as a run writes them, for the tests."""

from limae_jax.metrics.schema import Row, make_row


def row(seed: int = 0, env_steps: int = 1000, win_rate: float | None = 0.5, **more) -> Row:
    fields = {"iteration": env_steps // 100, "is_failed": False} | more
    return make_row(
        seed=seed,
        phase="train",
        env_steps=env_steps,
        grad_steps=7,
        test_win_rate=win_rate,
        test_return_mean=1.5 + seed,
        test_episodes=128,
        wall_s=2.0,
        env_steps_per_s=500.0,
        **fields,
    )
