"""Settings and sizes of a PettingZoo or Gymnasium environment. The sizes come from a worker process."""

from __future__ import annotations

from functools import lru_cache

from limae_jax.catalogue.pettingzoo_game import GymnasiumSettings, ParallelSettings
from limae_jax.catalogue.worker_seeds import MAX_WORKERS
from limae_jax.config import GymnasiumConfig, ParallelConfig
from limae_jax.environments.workers.pool import WorkerPool
from limae_jax.types import ActionSpec, EnvSpec


def parallel_settings(config: ParallelConfig, seed: int = 0) -> ParallelSettings:
    """Returns the settings of a seed's worker processes."""
    settings = GymnasiumSettings if isinstance(config, GymnasiumConfig) else ParallelSettings
    return settings(
        name=config.scenario,
        seed=seed * MAX_WORKERS % 2**31,
        timeout_s=config.timeout_s,
        max_steps=config.max_steps,
        options=config.options,
    )


@lru_cache(maxsize=8)
def parallel_spec(config: ParallelConfig) -> EnvSpec:
    """Returns the spec of an environment, which is built once in a temporary worker process.

    Raises:
        InputError: the environment is not supported.
        GameError: the environment fails at the start.
    """
    with WorkerPool(parallel_settings(config), num_workers=1, max_crashes=1) as pool:
        info = pool.info
    return EnvSpec(
        name=config.name,
        scenario=config.scenario,
        num_agents=info.num_agents,
        obs_size=info.obs_size,
        state_size=info.state_size,
        actions=ActionSpec(info.num_actions),
        episode_limit=info.episode_limit,
    )
