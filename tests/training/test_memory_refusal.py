"""Too much memory is refused before anything is allocated, and each way out that the message names works."""

import re

import pytest

from limae_jax.config.compose import load_config
from limae_jax.errors import InputError
from limae_jax.training import runner

pytestmark = pytest.mark.exhaustive

BIG = ["run.num_seeds=4", "run.seed_batching=vmapped", "replay.capacity_rows=4000", "run.max_memory_gib=0.008"]


def test_the_message_has_the_arithmetic_and_ways_out_that_work(tiny):
    with pytest.raises(InputError) as refused:
        runner.train(load_config(tiny(*BIG)))
    message = str(refused.value)
    assert "4000 rows x" in message and "GiB" in message and "\n" not in message
    ways = re.findall(r"(replay\.capacity_rows=\d+|replay\.observation_dtype=float16|run\.seed_batching=\d+)", message)
    assert {way.partition("=")[0] for way in ways} == {"replay.capacity_rows", "run.seed_batching"} | (
        {"replay.observation_dtype"} if any("float16" in way for way in ways) else set()
    )
    for number, way in enumerate(ways):
        config = load_config(tiny(*BIG, way, "run.total_env_steps=1500", name=f"way{number}"))
        assert runner.train(config).is_complete
