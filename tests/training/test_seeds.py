"""Seeds: equal to themselves, different from each other, the same in any group, and each failing alone."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from limae_jax.config.compose import load_config
from limae_jax.devices.sharding import put_seeds
from limae_jax.training import runner
from limae_jax.training.loop import make_chunk
from limae_jax.training.seed_program import SeedProgram
from limae_jax.training.setup import clock_at, make_setup

pytestmark = pytest.mark.slow

FEW_ITERATIONS = 2


@pytest.fixture(scope="module")
def train_some():
    """Trains seeds in one program: the warm-up, then a few updates."""
    from doubles.tiny import TINY

    setup = make_setup(load_config(TINY))
    warmup, train = setup.plans
    few = SeedProgram(make_chunk(setup.parts, train.phase, FEW_ITERATIONS), setup.mesh, "few", setup.compiler)

    def run(*seeds, poisoned=None):
        state = setup.init(put_seeds(np.asarray(seeds, np.int32), setup.mesh))
        state, _ = setup.chunks["warmup"](state, clock_at(0))
        if poisoned is not None:
            spoilt = jax.tree.map(lambda x: x.at[poisoned].set(jnp.nan), state.learner.params)
            state = state.replace(learner=state.learner.replace(params=spoilt))
        state, metrics = few(state, clock_at(warmup.end))
        return jax.tree.map(np.asarray, (state, metrics))

    return run


def of_seed(tree, index):
    return jax.tree.map(lambda x: x[index], tree)


def test_the_same_seed_twice_is_equal_to_the_last_bit(train_some):
    jax.tree.map(np.testing.assert_array_equal, train_some(5), train_some(5))


def test_two_seeds_differ_in_parameters_actions_and_battles(train_some):
    state, _ = train_some(0, 1)
    kernels = state.learner.params["agent"]["params"]["gru"]["recurrent_r"]
    rows = state.replay.experience
    assert not np.allclose(kernels[0], kernels[1])
    assert not np.array_equal(rows.action[0], rows.action[1])
    assert not np.array_equal(rows.obs[0, :, :, 0], rows.obs[1, :, :, 0])


def test_seed_two_of_four_equals_seed_two_alone(train_some):
    (together, _), (alone, _) = train_some(0, 1, 2, 3), train_some(2)
    assert int(together.counters.grad_steps[2]) == FEW_ITERATIONS
    compare = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # noqa: E731
    jax.tree.map(compare, of_seed(together, 2), of_seed(alone, 0))


def test_a_seed_that_is_not_finite_is_frozen_and_the_others_go_on(train_some):
    (state, metrics), (healthy, _) = train_some(0, 1, poisoned=1), train_some(0, 1)
    assert state.is_failed.tolist() == [False, True]
    assert state.counters.grad_steps.tolist() == [FEW_ITERATIONS, 0]
    assert not np.isfinite(metrics.means["loss"][1])
    assert state.counters.env_steps[1] < state.counters.env_steps[0]
    jax.tree.map(np.testing.assert_array_equal, of_seed(state.learner, 0), of_seed(healthy.learner, 0))


def test_a_chunk_gives_its_memory_to_its_successor(train_some):
    from doubles.tiny import TINY

    setup = make_setup(load_config(TINY))
    state = setup.init(put_seeds(np.asarray([0], np.int32), setup.mesh))
    setup.chunks["warmup"](state, clock_at(0))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.replay.experience))


def test_a_run_whose_seeds_fail_says_so_and_exits_with_one(tiny, capfd):
    config = load_config(tiny("run.num_seeds=2", "system.learning_rate=1e30", "system.max_grad_norm=1e30"))
    result = runner.train(config, console=True)
    assert result.exit_code == 1
    assert result.failed_seeds == [0, 1]
    captured = capfd.readouterr()
    text = " ".join((captured.out + captured.err).split())
    assert "seed 0 failed" in text and "seed 1 failed" in text


@pytest.mark.parametrize("batching", ["vmapped", "2"])
def test_every_way_of_batching_trains_every_seed(tiny, batching):
    config = load_config(tiny("run.num_seeds=3", f"run.seed_batching={batching}", "run.first_seed=4"))
    result = runner.train(config)
    assert [row["seed"] for row in result.last_rows] == [4, 5, 6]
    assert all(row["env_steps"] >= config.run.total_env_steps for row in result.last_rows)
    assert result.is_complete


def test_many_vmapped_seeds_start(tmp_path):
    """With XLA's own settings, unlike the other tests: there the start of three vmapped seeds once hung for good."""
    code = (
        "import jax, numpy as np\n"
        "from limae_jax.config.compose import load_config\n"
        "from limae_jax.training.setup import make_setup\n"
        "from limae_jax.devices.sharding import put_seeds\n"
        "setup = make_setup(load_config(['env.scenario=3m', 'replay.capacity_rows=64']))\n"
        "state = setup.init(put_seeds(np.arange(3), setup.mesh))\n"
        "print(jax.block_until_ready(state).seed)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "[0 1 2]" in done.stdout
