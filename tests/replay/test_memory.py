import dataclasses
import functools
import re
from typing import Any

import jax
import pytest
from doubles.fakes import TINY_ENV, counters, made_up_rows, marks, on_rows

from limae_jax.config import (
    REPLAY_CONFIGS,
    SYSTEM_CONFIGS,
    EvalConfig,
    RunConfig,
    SmacConfig,
    SmaxConfig,
    TrainConfig,
)
from limae_jax.config.compose import override_config
from limae_jax.errors import InputError
from limae_jax.replay.base import allocated_bytes
from limae_jax.replay.build import build_replay
from limae_jax.replay.memory import (
    EPISODES_AT_ONCE,
    GIB,
    check_evaluation_memory,
    check_memory,
    evaluation_bytes,
    replay_bytes,
    row_bytes,
    update_bytes,
    working_bytes,
)
from limae_jax.replay.uniform import uniform_replay
from limae_jax.systems.build import build_system
from limae_jax.types import ActionSpec, EnvSpec

pytestmark = pytest.mark.slow

WIDE_ENV = EnvSpec("wide", "wide", num_agents=3, obs_size=75, state_size=72, actions=ActionSpec(8), episode_limit=100)


def _config(
    num_envs: int = 2, hidden_size: int = 8, system: str = "qmix", mae: dict | None = None, **replay
) -> TrainConfig:
    rows: dict[str, Any] = {"row_length": 6, "capacity_rows": 5, "batch_rows": 2, "min_rows": 2} | replay
    return TrainConfig(
        env=SmaxConfig(num_envs=num_envs),
        system=SYSTEM_CONFIGS[system](hidden_size=hidden_size),
        mae=SYSTEM_CONFIGS[system].beliefs(**mae) if mae else None,
        replay=REPLAY_CONFIGS[rows.get("kind", "uniform")](**rows),
    )


def _allocated(config: TrainConfig, env: EnvSpec) -> tuple[int, int]:
    """Bytes of (the ring, everything else) that replay takes."""
    num_slots = config.replay.row_length + 1
    replay = build_replay(config)
    rows = made_up_rows(0, [marks([(2, True)], num_slots)], config.system.hidden_size, env)
    rows = rows.replace(start=build_system(config, env).initial_carry(1))
    ring, rest = jax.eval_shape(lambda: replay.split(replay.init(rows)))

    def num_bytes(tree):
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))

    return num_bytes(ring), num_bytes(rest)


def _by_formula(env: EnvSpec):
    return functools.partial(replay_bytes, sizes=env)


@pytest.mark.parametrize("env", [TINY_ENV, WIDE_ENV])
@pytest.mark.parametrize(
    "config",
    [
        _config(),
        _config(observation_dtype="float16"),
        _config(hidden_size=64, row_length=1),
        _config(capacity_rows=13, observation_dtype="float16", row_length=9),
        _config(system="li_ma2e"),
        _config(system="ma2e", mae={"window": 3, "context": "window"}, observation_dtype="float16"),
        _config(system="li_ma2e", mae={"context": "off"}),
        _config(system="oracle", mae={"window": 7}, hidden_size=64),
    ],
)
def test_bytes_are_those_that_are_allocated(config, env):
    ring, rest = _allocated(config, env)
    assert replay_bytes(config, env) == ring
    assert row_bytes(config, env) * config.replay.capacity_rows == ring
    assert rest < 64


def test_what_is_allocated_is_counted_whatever_the_system_records():
    config = _config(kind="prioritised", capacity_rows=900)
    rows = made_up_rows(0, [marks([(2, True)], 7)], 8)
    rows = rows.replace(start=build_system(config, TINY_ENV).initial_carry(1))
    ring, rest = _allocated(config, TINY_ENV)
    assert allocated_bytes(build_replay(config), jax.eval_shape(lambda: rows)) == ring + rest
    recorded = rows.replace(extras={"log_prob": rows.reward[..., None].repeat(3, axis=-1)})
    assert allocated_bytes(build_replay(config), recorded) == ring + rest + 900 * 7 * 3 * 4
    assert allocated_bytes(build_replay(config, stores_rows=False), rows) == 0


def test_without_a_replay_only_the_work_counts():
    config = _config()
    need = working_bytes(config, WIDE_ENV)
    line = check_memory(config, WIDE_ENV, lambda config: 0, 2, 2 * need, "of test memory")
    assert line.startswith("no replay; with ")
    with pytest.raises(InputError, match="too much") as caught:
        check_memory(config, WIDE_ENV, lambda config: 0, 2, 2 * need - 1, "of test memory")
    assert "replay." not in str(caught.value).partition("too much; use")[2]


def test_priorities_count_in_a_rows_bytes():
    config, uniform = _config(kind="prioritised", capacity_rows=900), _config(capacity_rows=900)
    ring, rest = _allocated(config, TINY_ENV)
    assert replay_bytes(config, TINY_ENV) == replay_bytes(uniform, TINY_ENV) + 4 * 900
    assert 0 <= ring + rest - replay_bytes(config, TINY_ENV) < 64


def test_bytes_are_those_of_an_allocated_array():
    config = _config()
    rows = made_up_rows(0, [marks([(2, True)], 7)], 8)
    replay = uniform_replay(config.replay)
    ring, _ = replay.split(replay.init(rows))
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(ring)) == replay_bytes(config, TINY_ENV)


@pytest.mark.parametrize(("context", "layers"), [("last_step", 1), ("last_step", 2), ("window", 1)])
def test_the_working_memory_is_an_upper_estimate(context, layers):
    env = EnvSpec("team", "team", num_agents=8, obs_size=20, state_size=10, actions=ActionSpec(5), episode_limit=100)
    mae = {"context": context, "decoder_layers": layers}
    config = _config(system="ma2e", mae=mae, hidden_size=64, row_length=15, batch_rows=4, min_rows=4)
    system = build_system(config, env)
    rows = made_up_rows(0, [marks([(9, True)], 16)] * 4, 64, env, 5)
    state = jax.eval_shape(system.init, jax.random.key(0))
    update = (
        jax.jit(on_rows(system.phases[-1].learn.update)).lower(state, rows, counters(0), jax.random.key(0)).compile()
    )
    held = update.memory_analysis().temp_size_in_bytes
    assert held < update_bytes(config, env) < 6 * held


def test_what_fits_is_told_as_arithmetic():
    config = _config()
    need = replay_bytes(config, WIDE_ENV) + working_bytes(config, WIDE_ENV)
    line = check_memory(config, WIDE_ENV, _by_formula(WIDE_ENV), 3, 3 * need, "of test memory")
    assert f"5 rows x {row_bytes(config, WIDE_ENV):,} B" in line and "3 seed(s)" in line and "of test memory" in line
    with pytest.raises(InputError):
        check_memory(config, WIDE_ENV, _by_formula(WIDE_ENV), 3, 3 * need - 1, "of test memory")


def _ways_out(config: TrainConfig, env: EnvSpec, seeds: int, available: int) -> tuple[str, list[str]]:
    with pytest.raises(InputError) as caught:
        check_memory(config, env, _by_formula(env), seeds, available, "of test memory")
    message = str(caught.value)
    assert "\n" not in message
    return message, re.findall(r"[a-z]+\.[a-z_]+=[a-z0-9]+", message.partition("too much; use")[2])


def _passes(config: TrainConfig, env: EnvSpec, seeds: int, available: int, way: str) -> bool:
    """Whether the user who takes the way out gets through."""
    changed = override_config(config, [way])
    if changed.run.seed_batching.isdecimal():
        seeds = min(seeds, int(changed.run.seed_batching))
    check_memory(changed, env, _by_formula(env), seeds, available, "of test memory")
    return True


LARGE = _config(num_envs=8, capacity_rows=200_000, min_rows=64, row_length=64, batch_rows=32, hidden_size=64)


def test_a_refusal_has_the_arithmetic_and_three_ways_out():
    one = replay_bytes(LARGE, WIDE_ENV) / GIB
    message, ways = _ways_out(LARGE, WIDE_ENV, seeds=4, available=int(2.5 * one * GIB))
    assert f"200000 rows x {row_bytes(LARGE, WIDE_ENV):,} B = {one:.2f} GiB" in message
    assert f"{2.5 * one:.2f} GiB of test memory" in message
    assert [way.partition("=")[0] for way in ways] == [
        "replay.capacity_rows",
        "replay.observation_dtype",
        "run.seed_batching",
    ]


@pytest.mark.parametrize("share", [0.99, 0.7, 0.5, 0.3, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("seeds", [1, 4])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_each_way_out_works(share, seeds, dtype):
    config = dataclasses.replace(LARGE, replay=dataclasses.replace(LARGE.replay, observation_dtype=dtype))
    need = seeds * (replay_bytes(config, WIDE_ENV) + working_bytes(config, WIDE_ENV))
    available = int(share * need)
    _, ways = _ways_out(config, WIDE_ENV, seeds, available)
    assert all(_passes(config, WIDE_ENV, seeds, available, way) for way in ways)
    assert ways or share < 0.01


def test_a_way_out_leaves_room_for_the_rows_of_one_iteration():
    config = _config(num_envs=50, capacity_rows=100, min_rows=2)
    for rows in (10, 49, 50, 70):
        available = working_bytes(config, WIDE_ENV) + rows * row_bytes(config, WIDE_ENV)
        _, ways = _ways_out(config, WIDE_ENV, 1, available)
        assert all(_passes(config, WIDE_ENV, 1, available, way) for way in ways)
        assert (f"replay.capacity_rows={rows}" in ways) == (rows >= 50)


def test_a_batch_larger_than_the_buffer_is_refused():
    with pytest.raises(InputError, match=r"^replay.batch_rows=9: must not exceed replay.capacity_rows=8$"):
        _config(capacity_rows=8, batch_rows=9)
    config = _config(capacity_rows=100, batch_rows=40)
    available = working_bytes(config, WIDE_ENV) + 30 * row_bytes(config, WIDE_ENV)
    assert not any("capacity_rows" in way for way in _ways_out(config, WIDE_ENV, 1, available)[1])


def test_no_way_out_is_invented_when_even_one_row_does_not_fit():
    message, ways = _ways_out(LARGE, WIDE_ENV, seeds=4, available=1000)
    assert not ways and "smaller batch or network" in message


def test_the_default_buffer_lets_three_seeds_of_8m_train_in_8_gib():
    spec = EnvSpec("smax", "8m", num_agents=8, obs_size=205, state_size=192, actions=ActionSpec(13), episode_limit=100)
    config = TrainConfig(run=RunConfig(num_seeds=3))
    assert check_memory(config, spec, _by_formula(spec), 3, 8 * GIB, "of test memory")


def _evaluating(num_episodes: int, **settings) -> TrainConfig:
    return dataclasses.replace(_config(**settings), evaluation=EvalConfig(num_episodes=num_episodes))


@pytest.mark.parametrize("system", ["qmix", "li_ma2e"])
def test_evaluation_is_counted_up_to_the_episodes_of_a_batch(system):
    one, batch, more = (evaluation_bytes(_evaluating(n, system=system), WIDE_ENV) for n in (1, EPISODES_AT_ONCE, 10**6))
    assert one > 0 and batch == more == EPISODES_AT_ONCE * one
    config = _evaluating(EPISODES_AT_ONCE, system=system)
    assert working_bytes(config, WIDE_ENV) == batch > update_bytes(config, WIDE_ENV)


def test_a_team_that_guesses_takes_more():
    last_step, window = (
        evaluation_bytes(_evaluating(9, system="ma2e", mae={"context": context}), WIDE_ENV)
        for context in ("last_step", "window")
    )
    assert evaluation_bytes(_evaluating(9), WIDE_ENV) < last_step < window


@pytest.mark.parametrize("episodes", [700, EPISODES_AT_ONCE, 100_000])
@pytest.mark.parametrize("seeds", [1, 4])
def test_too_many_episodes_at_once_are_refused_and_fewer_named(episodes, seeds):
    config = _evaluating(episodes)
    rest = replay_bytes(config, WIDE_ENV)
    available = seeds * (rest + evaluation_bytes(_evaluating(600), WIDE_ENV))
    _, ways = _ways_out(config, WIDE_ENV, seeds, available)
    assert "evaluation.num_episodes=600" in ways
    assert all(_passes(config, WIDE_ENV, seeds, available, way) for way in ways)
    # Where the gradient step does not fit either, fewer episodes do not help.
    assert "evaluation" not in _ways_out(config, WIDE_ENV, seeds, seeds * rest)[0].partition("too much; use")[2]


def test_what_evaluating_alone_takes():
    config = _evaluating(100_000)
    need = evaluation_bytes(config, WIDE_ENV)
    check_evaluation_memory(config, WIDE_ENV, need, "of test memory")
    with pytest.raises(InputError, match=r"^evaluation.num_episodes=100000: .* choose at most 1023$"):
        check_evaluation_memory(config, WIDE_ENV, need - 1, "of test memory")
    with pytest.raises(InputError, match=r"or provide more memory$"):
        check_evaluation_memory(config, WIDE_ENV, 10, "of test memory")


def test_games_of_the_host_take_none_of_the_device():
    config = dataclasses.replace(_config(), env=SmacConfig(scenario="3m", workers=2))
    assert evaluation_bytes(config, WIDE_ENV) == 0
